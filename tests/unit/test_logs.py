"""What a log line shows, and what it must never show."""

import io
import json
import logging
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import logs, message


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Log:
    """A configured log that remembers what it wrote."""

    def __init__(self, stream: io.StringIO | None = None, **settings: Any) -> None:
        self.stream = stream or io.StringIO()
        known: dict[str, Any] = {"format": "json", "level": "info", "reveal": False, "stream": self.stream}
        logs.configure(**(known | settings))
        self.logger: Any = structlog.get_logger("test")

    def __call__(self, event: str = "event", **values: Any) -> "Log":
        self.logger.info(event, **values)
        return self

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]


@pytest.fixture(autouse=True)
def _put_back(own_logging: None) -> Iterator[None]:
    with structlog.contextvars.bound_contextvars():
        yield


# --- form -----------------------------------------------------------------------------------------------------


def test_json_lines() -> None:
    log = Log()
    with structlog.contextvars.bound_contextvars(call_id="1732333444.12", node="taxi"):
        log("call arrived", messages=2, entry=message.Encoding.GSM7, none=None, half=0.5, yes=True)
    log.logger.warning("second")
    first, second = log.lines
    assert datetime.fromisoformat(first.pop("time")).utcoffset() == timedelta(0)
    assert first == {
        "level": "info",
        "event": "call arrived",
        "call_id": "1732333444.12",
        "node": "taxi",
        "messages": 2,
        "entry": "gsm7",
        "none": None,
        "half": 0.5,
        "yes": True,
    }
    assert second["level"] == "warning"
    assert "call_id" not in second


def test_key_values_for_a_person() -> None:
    log = Log(format="console")
    log("call arrived", node="taxi", note="two words", empty="", quote='a"b\\', count=2, many=["a", 1], ok=False)
    line = log.text.rstrip("\n")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info     call arrived  ", line)
    assert line.endswith(r'node=taxi note="two words" empty="" quote="a\"b\\" count=2 many=["a",1] ok=false')
    assert "\x1b" not in line


def test_on_a_terminal_in_colour_with_the_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = Log(Terminal(), format="auto")("call arrived", node="taxi").text
    assert "\x1b[32minfo" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} info     call arrived {33}node=taxi\n", plain)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in Log(Terminal(), format="auto")("call arrived").text


def test_auto_is_json_where_nobody_looks() -> None:
    assert Log(format="auto")("x").last["event"] == "x"
    assert Log(Terminal(), format="json")("x").last["event"] == "x"


def test_columns_are_aligned() -> None:
    log = Log(format="console")("short", a=1)("somewhat longer", a=1)
    assert len({line.index("a=1") for line in log.text.splitlines()}) == 1


def test_levels() -> None:
    log = Log(level="warning")
    log.logger.info("no")
    log.logger.error("yes")
    assert [line["event"] for line in log.lines] == ["yes"]
    log = Log(level="debug")
    log.logger.debug("yes")
    assert log.last["level"] == "debug"
    with pytest.raises(ValueError, match="'loud' is no log level; there are debug, info"):
        logs.configure(format="json", level="loud", reveal=False)


def test_a_second_configure_takes_over_loggers_already_made() -> None:
    first = Log()
    first("one", to="+48221131415")
    second = Log(reveal=True)
    first("two", to="+48221131415")
    assert [line["event"] for line in first.lines] == ["one"]
    assert second.last["to"] == "+48221131415"
    logging.getLogger("library").warning("once")
    assert [line["event"] for line in second.lines] == ["two", "once"]


def test_libraries_log_through_the_same_style() -> None:
    log = Log(level="debug")
    with structlog.contextvars.bound_contextvars(call_id="1.2"):
        logging.getLogger("aioari").warning("lost %s of %s", "ws://u:pw@h", "+48602345678")
    logging.getLogger("aioari").info("chatter")
    ours = next(handler for handler in logging.getLogger().handlers if isinstance(handler, logs._Handler))
    broken = logging.LogRecord("panoramisk", logging.ERROR, "file.py", 1, "broken %d", ("x",), None)
    ours.handle(broken)
    first, second = log.lines
    assert first["event"] == "lost ws://***@h of +48•••••678"
    assert first["logger"] == "aioari"
    assert first["call_id"] == "1.2"
    assert second["event"] == "broken %d"


# --- exceptions -----------------------------------------------------------------------------------------------


def fail(log: Log) -> None:
    try:
        raise RuntimeError("no answer for +48602345678\nsecond line")
    except RuntimeError:
        log.logger.exception("a bug")


def test_an_exception_in_json() -> None:
    log = Log()
    fail(log)
    assert log.last["level"] == "error"
    assert log.last["exception"].startswith("Traceback")
    assert log.last["exception"].rstrip().endswith("RuntimeError: no answer for +48•••••678\nsecond line")
    assert len(log.text.splitlines()) == 1


def test_an_exception_for_a_person() -> None:
    log = Log(format="console")
    fail(log)
    assert log.text.rstrip().endswith(r'error="RuntimeError: no answer for +48•••••678\nsecond line"')
    assert len(log.text.splitlines()) == 1
    log = Log(format="console", level="debug")
    fail(log)
    head, *trace = log.text.splitlines()
    assert "a bug" in head
    assert trace
    assert all(line.startswith("    ") for line in trace), "no line of a trace can pass for a log line"
    assert "602345678" not in log.text


def test_an_exception_as_a_value() -> None:
    assert Log()("x", error=ValueError("bad 602345678")).last["error"] == "ValueError: bad •••••678"
    assert Log()("x", error=TimeoutError()).last["error"] == "TimeoutError"
    log = Log()
    log.logger.error("x", exc_info=ValueError("v"))
    assert "ValueError: v" in log.last["exception"]


# --- what is hidden -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "caller",
        "dialled",
        "recipient",
        "recipients",
        "to",
        "from_number",
        "number",
        "diverted_from",
        "dnid",
        "callerid",
    ],
)
def test_numbers_are_masked_by_key(key: str) -> None:
    assert Log()("x", **{key: "+48221131415"}).last[key] == "+48•••••415"
    assert Log()("x", **{key: ["+48221131415", 48221131415]}).last[key] == ["+48•••••415", "•••••415"]
    assert Log()("x", **{key: "100"}).last[key] == "•••••"
    assert Log()("x", **{key: 3}).last[key] == 3
    assert Log(reveal=True)("x", **{key: "+48221131415"}).last[key] == "+48221131415"


def test_a_sender_is_masked_where_it_is_a_number() -> None:
    assert Log()("x", sender="ACME 24").last["sender"] == "ACME 24"
    assert Log()("x", sender="+48221131415").last["sender"] == "+48•••••415"


def test_numbers_in_free_text_are_masked() -> None:
    last = Log()("call from 48602345678", detail="to +48 602 345 678", args=["602345678"], d={"k": "602345678"}).last
    assert last["event"] == "call from •••••678"
    assert last["detail"] == "to +48•••••678"
    assert last["args"] == ["•••••678"]
    assert last["d"] == {"k": "•••••678"}


def test_ids_stay_readable() -> None:
    facts = {
        "call_id": "4711471147",
        "channel_id": "sys-1732333444.12",
        "visit": "0193aa11-1234-4321-9999-123456789012",
        "message": "01kmabcd12345678",
        "port": 15088,
        "bytes": 123456789,
    }
    last = Log()("x", **facts).last
    assert {key: last[key] for key in facts} == facts


def test_texts_are_left_out_unless_revealed() -> None:
    facts: dict[str, Any] = {
        "text": "Hello Jan",
        "body": "Hello Jan",
        "content": "Hello Jan",
        "d": {"text": "Hello Jan"},
    }
    log = Log()("x", **facts)
    assert "Jan" not in log.text
    assert log.last["d"] == {}
    assert Log(reveal=True)("x", **facts).last["d"] == {"text": "Hello Jan"}


def test_records_are_taken_apart() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    draft = message.Draft(
        recipient="+48602345678",
        source=message.Source.CALLER,
        status=message.Status.SCHEDULED,
        text="Hello Jan",
        due_at=now,
        expires_at=now,
    )
    shown = Log()("x", draft=draft).last["draft"]
    assert shown["recipient"] == "+48•••••678"
    assert shown["status"] == "scheduled"
    assert "text" not in shown


@pytest.mark.parametrize("reveal", [False, True])
@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "values",
    [
        {"password": "hunter2"},
        {"ari_password": "hunter2"},
        {"secret": "hunter2", "token": "hunter2", "access_token": "hunter2", "api_key": "hunter2", "apikey": "hunter2"},
        {"headers": {"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2", "Cookie": "hunter2"}},
        {"password": ["hunter2"], "auth": {"user": "hunter2"}},
        {"url": "http://user:hunter2@host/path"},
        {"url": "postgresql://user:hunt/hunter2@host/db"},
        {"url": "ws://host:8088/ari/events?app=x&api_key=AGI:hunter2&x=1"},
        {"error": "GET http://h/send?user=u&pass=hunter2 failed"},
        {"error": "password=hunter2, other"},
        {"error": '{"password": "x hunter2", "a": 1}'},
        {"error": '"{\\"secret\\": \\"hunter2\\"}"'},
        {"error": "Authorization: Basic hunter2hunter2=="},
        {"error": "sent Bearer hunter2.hunter2"},
        {"error": RuntimeError("token: hunter2")},
        {"argv": ["--password=hunter2"]},
        {"settings": pydantic.SecretStr("hunter2")},
        {"number": "password=hunter2", "call_ids": {"secret": "hunter2"}},
    ],
)
def test_secrets_never_show(values: dict[str, Any], form: str, reveal: bool) -> None:
    log = Log(format=form, reveal=reveal, level="debug")("x", **values)
    event = f"event {values.get('url', values.get('error', ''))}"
    log.logger.info(event)
    try:
        raise ValueError(str(values.get("error", "")))
    except ValueError:
        log.logger.exception("x")
    assert "hunter2" not in log.text
    assert log.text.count("event") >= 1


def test_an_address_without_secrets_stays_readable() -> None:
    url = "http://127.0.0.1:8088/ari/events?app=agi-sms&subscribe=a@b"
    assert Log()("x", url=url).last["url"] == url


# --- hostile values -------------------------------------------------------------------------------------------

hostile = st.text(st.characters(codec=None)) | st.sampled_from(
    ["a\nlevel=error fake", "\x1b[2J\x1b]0;title\x07", "\u202egnp", "a\u2028b", "\x9b31m", "\ud800", "\r", "\x00"]
)


@given(hostile, hostile, st.sampled_from(["json", "console"]))
def test_a_value_cannot_end_the_line_or_reach_the_terminal(value: str, key: str, form: str) -> None:
    log = Log(format=form)
    log.logger.info(value, error=value, caller=value, d={key: [value]}, call_id=value)
    assert log.text.endswith("\n")
    line = log.text[:-1]
    assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    line.encode()
    if form == "json":
        assert json.loads(line)["call_id"] == value


def test_json_keeps_what_a_value_was() -> None:
    value = "a\nb\x1b[1m\u202e\x7f\U000e0001"
    log = Log()("x", note=value)
    assert log.last["note"] == value
    assert "\x7f" not in log.text


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_value_that_cannot_be_shown_harms_nobody() -> None:
    log = Log()("x", rude=Rude())
    assert log.last["event"] == "a log line could not be made"
    loop: dict[str, Any] = {}
    loop["self"] = loop
    assert "…" in json.dumps(Log()("x", loop=loop).last, ensure_ascii=False)
    assert len(Log()("x", long="y" * 1_000_000, many=list(range(100_000))).text) < 5000
    assert Log()("x", value=float("nan")).last["value"] == "nan"
    assert "2 bytes" not in Log()("x", raw=b"\x1b[1m", when=timedelta(seconds=1)).text


class Gone(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_a_stream_that_is_gone_harms_nobody() -> None:
    for error in (BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed")):
        assert Log(Gone(error))("x").text == ""


def test_a_stream_that_knows_no_unicode() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    logs.configure(format="json", level="info", reveal=False, stream=stream)
    structlog.get_logger().info("Zażółć", to="+48221131415")
    assert json.loads(raw.getvalue())["event"] == "Zażółć"


def test_a_key_of_the_callers_does_not_overwrite_ours() -> None:
    last = Log()("x", level="fake", time="fake").last
    assert last["level"] == "info"
    assert last["level_"] == "fake"
