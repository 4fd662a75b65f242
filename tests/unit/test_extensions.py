"""What tests read of extensions.conf."""

import pytest

from tests.unit import extensions


def test_steps() -> None:
    text = "; head\n[a]\nexten => _X.,1,NoOp(1,(2)) ; why\n same => n(here),Set(A=\\;)\n\n[b]\nexten => h,1,Hangup\n"
    found = [(one.context, one.exten, one.number, one.label, one.data, one.line) for one in extensions.read(text)]
    assert found == [
        ("a", "_X.", 1, "", "1,(2)", 3),
        ("a", "_X.", 2, "here", "A=;", 4),
        ("b", "h", 1, "", "", 7),
    ]


@pytest.mark.parametrize(
    "line", ["exten => s,n,NoOp()", "same => 2,NoOp()", "include => b", "same => n,NoOp(", "#include x"]
)
def test_what_it_does_not_know_fails(line: str) -> None:
    with pytest.raises(ValueError, match="line 3"):
        list(extensions.read(f"[a]\nexten => s,1,NoOp()\n{line}"))
