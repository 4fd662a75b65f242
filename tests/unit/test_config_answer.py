"""What GetConfig says of a section, and which words of manager.conf let a user hear the dialplan."""

import pytest

from agi_sms.asterisk import config_answer

# In whatever order; a header that came twice is a list.
ANSWER = {
    "Response": "Success",
    "Line-000000-000002": "read=call,user",
    "Category-000000": "gateway",
    "Line-000000-000000": "Secret = read=all",
    "Line-000000-000001": "read=system",
    "line-000000-000003": ["write=x", " WRITE = system , call "],
    "Line-000000-000004": "no equals sign",
}


def test_of_several_lines_the_last_counts() -> None:
    found = dict(config_answer.lines(ANSWER))
    assert found == {"secret": "read=all", "read": "call,user", "write": "system , call", "no equals sign": ""}
    assert config_answer.has_section(ANSWER)


def test_no_section() -> None:
    assert not config_answer.has_section({"Response": "Success", "Line-000000-000000": "read=user"})
    assert list(config_answer.lines({"Response": "Success"})) == []


@pytest.mark.parametrize("read", ["user", "all", "call,user", "user,call", " system,all "])
def test_words_by_which_events_are_heard(read: str) -> None:
    assert config_answer.hears_user_events(read)


@pytest.mark.parametrize("read", ["", "call", "User", "ALL", "call, user", "user ,call", "users", "call;user"])
def test_words_by_which_they_are_not(read: str) -> None:
    assert not config_answer.hears_user_events(read)
