"""Asking an Asterisk for its dialplan over AMI: with every right, with some, with none, and answers that are odd."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from agi_sms import dialplan, errors
from agi_sms.asterisk import ami_client, survey
from tests.contract import fake_ami

DATA = Path(__file__).resolve().parents[1] / "data" / "dialplan"
LISTING = (DATA / "syntax.txt").read_text(encoding="utf-8")


def printed(action: Mapping[str, str], text: str = LISTING) -> str:
    """What Command answers (main/manager.c, action_command)."""
    assert action["Command"] == "dialplan show"
    return "\r\n".join(
        ["Response: Success", "Message: Command output follows", *(f"Output: {x}" for x in text.splitlines())]
    )


def listed(action: Mapping[str, str]) -> str:
    """What ShowDialPlan answers, as it was recorded."""
    text = (DATA / "syntax.ami.txt").read_text(encoding="utf-8")
    blocks = [block for block in text.split("\n\n") if block.strip() and "FullyBooted" not in block]
    mine = [block.strip().replace("ActionID: rig", f"ActionID: {action['ActionID']}") for block in blocks]
    mine[-1] = mine[-1].replace(f"ActionID: {action['ActionID']}\n", "")  # the fake adds it
    return "\r\n\r\n".join("\r\n".join(block.splitlines()) for block in mine)


async def test_a_command_tells_files_and_lines() -> None:
    async with fake_ami.running(answers={"Command": printed}) as fake:
        plan = await survey.Survey(fake.settings()).dialplan()
    assert plan == dialplan.parse_show(LISTING)
    assert fake.done("ShowDialPlan") == []


async def test_who_may_not_use_commands_gets_the_list() -> None:
    async with fake_ami.running(answers={"Command": fake_ami.DENIED, "ShowDialPlan": listed}) as fake:
        plan = await survey.Survey(fake.settings()).dialplan()
    assert [one.node for one in dialplan.visits(plan)] == [
        one.node for one in dialplan.visits(dialplan.parse_show(LISTING))
    ]
    assert len(fake.done("ShowDialPlan")) == 1
    assert fake.logins == 1


async def test_without_any_right_the_line_to_write_is_said() -> None:
    async with fake_ami.running(answers={"Command": fake_ami.DENIED, "ShowDialPlan": fake_ami.DENIED}) as fake:
        with pytest.raises(survey.NoRight, match=r"\[gateway\], write = system,command would let it"):
            await survey.Survey(fake.settings()).dialplan()


async def test_a_refused_login_is_said_as_such() -> None:
    async with fake_ami.running(password="another") as fake:
        with pytest.raises(errors.PbxRefused, match="Login: Authentication failed"):
            await survey.Survey(fake.settings()).dialplan()


async def test_nobody_there_and_nobody_who_answers() -> None:
    async with fake_ami.running(mute={"Command"}) as fake:
        settings = fake.settings(timeout="50ms")
        with pytest.raises(errors.PbxUnreachable, match="did not answer in time"):
            await survey.Survey(settings).dialplan()
    with pytest.raises(errors.PbxUnreachable):
        await survey.Survey(settings).dialplan()


async def test_a_connection_that_breaks_is_no_reason_to_ask_again() -> None:
    async with fake_ami.running(cut={"Command"}) as fake:
        with pytest.raises(ami_client.Unanswered):
            await survey.Survey(fake.settings()).dialplan()
        assert fake.done("ShowDialPlan") == []


@pytest.mark.parametrize(
    "answer",
    [
        "Response: Success\r\nMessage: Command output follows",
        "Response: Success\r\nMessage: Command output follows\r\nOutput: ",
        "Response: Success\r\nMessage: Command output follows\r\nOutput: nothing of the kind",
    ],
)
async def test_an_answer_that_is_no_listing(answer: str) -> None:
    async with fake_ami.running(answers={"Command": answer}) as fake:
        with pytest.raises(errors.PbxError, match="not what `dialplan show` prints"):
            await survey.Survey(fake.settings()).dialplan()


async def test_a_command_that_does_not_exist() -> None:
    answer = "Response: Error\r\nMessage: Command output follows\r\nOutput: No such command 'dialplan show'"
    async with fake_ami.running(answers={"Command": answer}) as fake:
        with pytest.raises(errors.PbxError, match="No such command"):
            await survey.Survey(fake.settings()).dialplan()


async def test_a_list_that_is_refused_for_another_reason() -> None:
    answers = {"Command": fake_ami.DENIED, "ShowDialPlan": "Response: Error\r\nMessage: Failed to lock contexts"}
    async with fake_ami.running(answers=answers) as fake:
        with pytest.raises(errors.PbxError, match="Failed to lock contexts"):
            await survey.Survey(fake.settings()).dialplan()
