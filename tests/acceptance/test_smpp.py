"""The SMPP provider against an SMSC that nobody here wrote (npm smpp, in Docker)."""

import asyncio
import collections.abc
import contextlib
import pathlib
import types
import typing

import pytest

from agi_sms import errors, message, ports, segments
from agi_sms.message import Status
from agi_sms.providers import smpp, smpp_link, smpp_settings
from rig import asterisk, smsc
from tests.acceptance import gateway
from tests.contract import peer, subjects

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(600)]

EURO_AT_THE_SEAM = "a" * 152 + "€" + "b" * 152 + "[" + "c" * 20
EMOJI_AT_THE_SEAM = "ż" * 66 + "😀" + "ó" * 65 + "🎉" + "ł" * 20


def written(text: str, to: str = "+48600100200") -> ports.Submission:
    sized = segments.measure(text)
    return subjects.submission(text=sized.text, encoding=sized.encoding, segments=sized.segments, to=to)


HELLO = written("Hello")


@pytest.fixture(scope="module")
def shared() -> collections.abc.Iterator[smsc.Smsc]:
    with smsc.Smsc() as running:
        yield running


@pytest.fixture
def other(shared: smsc.Smsc) -> smsc.Smsc:
    """The SMSC as it is by itself."""
    shared.behave(bind_status=0, silent=[], statuses=[], delay_ms=0, cut_after=0, receipts=[], id_bases=[10, 10])
    return shared


class Since:
    """What happened at the SMSC since the test began."""

    def __init__(self, other: smsc.Smsc) -> None:
        self._other = other
        self._before = len(other.events())

    def events(self, *kinds: str) -> list[smsc.Event]:
        return [one for one in self._other.events()[self._before :] if one["event"] in kinds]

    async def until(self, count: int, *kinds: str) -> list[smsc.Event]:
        """Wait for so many, with a deadline."""
        ready = lambda: len(self.events(*kinds)) >= count  # noqa: E731
        await asyncio.to_thread(self._other.wait_for, f"{count} x {kinds}", ready)
        return self.events(*kinds)

    async def over(self, connections: int = 1) -> None:
        """Wait until it has told everything of so many connections."""
        await self.until(connections, "closed")


class Keeper:
    """Keeps receipts; `full` is a disk that has no room."""

    def __init__(self) -> None:
        self.kept: list[ports.Receipt] = []
        self.full = False

    async def __call__(self, provider: str, receipts: collections.abc.Sequence[ports.Receipt]) -> None:
        if self.full:
            raise errors.OutboxFull
        self.kept += receipts


@contextlib.asynccontextmanager
async def provider(
    port: int, keeper: Keeper | None = None, **changes: typing.Any
) -> collections.abc.AsyncIterator[smpp.SmppProvider]:
    raw = {"host": "127.0.0.1", "port": port, "system_id": "acme", "password": "s3cret", "timeout": "5s", **changes}
    settings = smpp_settings.Settings.model_validate(raw)
    made = smpp.SmppProvider("acme", settings, pauses=smpp_link.Pauses(first=0.05, longest=0.2))
    running = asyncio.create_task(made.run(keeper)) if keeper is not None else None
    try:
        yield made
    finally:
        if running is not None:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        await made.close()


async def accepted(made: smpp.SmppProvider) -> message.Outcome:
    """Send until one is taken; what is refused meanwhile must be so because there is no connection."""
    async with asyncio.timeout(20):
        while isinstance(outcome := await made.send(HELLO), message.ProviderDown):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return outcome


async def test_binds_submits_and_takes_leave(other: smsc.Smsc) -> None:
    since = Since(other)
    async with provider(other.port, system_type="VMA") as made:
        outcome = await made.send(written("Zażółć"))
    await since.over()
    (bind,), (submit,), (answer,) = (since.events(kind) for kind in ("bind", "submit_sm", "submit_sm_resp"))
    assert (bind["system_id"], bind["password"], bind["system_type"]) == ("acme", "s3cret", "VMA")
    assert (bind["command"], bind["interface_version"]) == ("bind_transceiver", 0x34)
    assert (submit["source_addr_ton"], submit["source_addr_npi"], submit["source_addr"]) == (5, 0, "ACME")
    assert (submit["dest_addr_ton"], submit["dest_addr_npi"], submit["destination_addr"]) == (1, 1, "48600100200")
    assert (submit["data_coding"], submit["registered_delivery"], submit["text"]) == (8, 1, "Zażółć")
    assert outcome == message.Accepted(ids=(answer["message_id"],))
    assert [one["event"] for one in since.events("unbind", "closed")] == ["unbind", "closed"]


async def test_a_refused_bind_is_down_until_it_is_not(other: smsc.Smsc) -> None:
    other.behave(bind_status=smsc.WRONG_PASSWORD)
    since = Since(other)
    async with provider(other.port, Keeper()) as made:
        outcome = await made.send(HELLO)
        await since.until(3, "bind")
        assert (type(outcome), outcome.code) == (message.ProviderDown, "0x0e")
        other.behave(bind_status=0)
        assert isinstance(await accepted(made), message.Accepted)
    assert len(await since.until(1, "submit_sm")) == 1


async def test_throttling_is_retry_and_slows_the_connection(other: smsc.Smsc) -> None:
    other.refuse_next(1)
    since = Since(other)
    async with provider(other.port, rate=4) as made:
        first = await made.send(HELLO)
        rest = [await made.send(HELLO) for _ in range(3)]
    await since.over()
    assert (type(first), first.code) == (message.Retry, "0x58")
    assert {type(one) for one in rest} == {message.Accepted}
    times = [one["at"] for one in since.events("submit_sm")]
    assert times[3] - times[0] >= 1400  # three halves of a second, at half the rate


@pytest.mark.parametrize("concatenation", ["udh8", "udh16", "sar", "payload"])
@pytest.mark.parametrize("text", [EURO_AT_THE_SEAM, EMOJI_AT_THE_SEAM], ids=["gsm7", "ucs2"])
async def test_three_segments_with_letters_at_the_seams(other: smsc.Smsc, concatenation: str, text: str) -> None:
    since = Since(other)
    async with provider(other.port, concatenation=concatenation) as made:
        outcome = await made.send(written(text))
    await since.over()
    sent = since.events("submit_sm")
    assert isinstance(outcome, message.Accepted)
    assert list(outcome.ids) == [one["message_id"] for one in since.events("submit_sm_resp")]
    assert "".join(one["text"] for one in sent) == text  # as the package reads each segment by itself
    if concatenation == "payload":
        assert len(sent) == 1
        return
    assert len(sent) == 3
    match concatenation:
        case "udh8":
            marks = [bytes.fromhex(one["udh"][0]) for one in sent]
            assert [(mark[:2], *mark[3:]) for mark in marks] == [(b"\x00\x03", 3, at) for at in (1, 2, 3)]
            assert len({mark[2] for mark in marks}) == 1
        case "udh16":
            marks = [bytes.fromhex(one["udh"][0]) for one in sent]
            assert [(mark[:2], *mark[4:]) for mark in marks] == [(b"\x08\x04", 3, at) for at in (1, 2, 3)]
            assert len({mark[2:4] for mark in marks}) == 1
        case "sar":
            assert [(one["sar_total_segments"], one["sar_segment_seqnum"]) for one in sent] == [(3, 1), (3, 2), (3, 3)]
            assert len({one["sar_msg_ref_num"] for one in sent}) == 1


@pytest.mark.parametrize("form", ["text", "tlv", "both"])
@pytest.mark.parametrize("before_answer", [False, True], ids=["after", "before the answer"])
async def test_receipts(other: smsc.Smsc, form: typing.Literal["text", "tlv", "both"], before_answer: bool) -> None:
    kinds = [("ACCEPTD", Status.ACCEPTED), ("DELIVRD", Status.DELIVERED), ("UNDELIV", Status.FAILED)]
    other.behave(receipts=[smsc.receipt(stat, form=form, before_answer=before_answer, err="04B") for stat, _ in kinds])
    since, keeper = Since(other), Keeper()
    async with provider(other.port, keeper) as made:
        outcome = await made.send(HELLO)
        answers = await since.until(3, "deliver_sm_resp")
    assert isinstance(outcome, message.Accepted)
    assert [(one.provider_id, one.state) for one in keeper.kept] == [(outcome.ids[0], state) for _, state in kinds]
    assert {one["command_status"] for one in answers} == {0}
    if form != "tlv":
        assert {one.code for one in keeper.kept} == {"04B"}


@pytest.mark.parametrize(("bases", "receipt_id"), [([16, 10], "decimal"), ([10, 16], "hex"), ([16, 16], "as_is")])
async def test_receipts_of_an_smsc_that_writes_ids_in_two_ways(
    other: smsc.Smsc, bases: list[int], receipt_id: str
) -> None:
    other.behave(id_bases=bases, receipts=[smsc.receipt(form="text")])
    since, keeper = Since(other), Keeper()
    async with provider(other.port, keeper, receipt_id=receipt_id) as made:
        outcomes = [await made.send(HELLO) for _ in range(3)]
        await since.until(3, "deliver_sm_resp")
    ids = [one.ids[0] for one in outcomes if isinstance(one, message.Accepted)]
    assert sorted(ids) == sorted(one.provider_id for one in keeper.kept)
    assert len(set(ids)) == 3


async def test_a_receipt_that_is_not_kept_is_refused_for_now(other: smsc.Smsc) -> None:
    since, keeper = Since(other), Keeper()
    keeper.full = True
    async with provider(other.port, keeper):
        await since.until(1, "bind")
        other.deliver("id:1 stat:DELIVRD err:000 text:")
        (refused,) = await since.until(1, "deliver_sm_resp")
        keeper.full = False
        other.deliver("id:1 stat:DELIVRD err:000 text:")
        _, taken = await since.until(2, "deliver_sm_resp")
    assert (refused["command_status"], taken["command_status"]) == (0x64, 0)
    assert [one.provider_id for one in keeper.kept] == ["1"]


async def test_cut_in_mid_window_nothing_is_written_twice(other: smsc.Smsc) -> None:
    since = Since(other)
    other.behave(cut_after=5)
    async with provider(other.port, Keeper(), window=5) as made:
        recipients = [f"+4860010020{n}" for n in range(8)]
        outcomes = await asyncio.gather(*(made.send(written("Hello", to)) for to in recipients))
        assert isinstance(await accepted(made), message.Accepted)
    await since.over(2)
    sent = [f"+{one['destination_addr']}" for one in since.events("submit_sm")][:-1]
    assert len(sent) == len(set(sent))
    truth = {to: type(outcome).__name__ for to, outcome in zip(recipients, outcomes, strict=True)}
    assert [truth[to] for to in sent[:5]] == ["Uncertain"] * 5
    assert {truth[to] for to in sent[5:]} <= {"Accepted"}
    assert {truth[to] for to in set(recipients) - set(sent)} <= {"ProviderDown"}


async def test_receipts_that_waited_for_us_come_after_the_next_bind(other: smsc.Smsc) -> None:
    other.behave(receipts=[smsc.receipt(after_ms=300)])
    since, keeper = Since(other), Keeper()
    async with provider(other.port) as made:
        outcome = await made.send(HELLO)
    await since.over()
    async with provider(other.port, keeper):
        await since.until(1, "deliver_sm_resp")
    assert isinstance(outcome, message.Accepted)
    assert [one.provider_id for one in keeper.kept] == list(outcome.ids)


async def test_a_silent_smsc_is_left_and_bound_anew(other: smsc.Smsc) -> None:
    since = Since(other)
    async with provider(other.port, Keeper(), timeout="500ms", enquire_link="1s") as made:
        await since.until(1, "enquire_link")
        other.behave(silent=["submit_sm", "enquire_link"])
        outcome = await made.send(HELLO)
        await since.until(2, "bind")
        other.behave(silent=[])
        assert isinstance(await accepted(made), message.Accepted)
    assert (type(outcome), outcome.code) == (message.Uncertain, "timeout")


async def test_over_tls(tmp_path: pathlib.Path) -> None:
    (tmp_path / "certificate.pem").write_text(peer.CERTIFICATE)
    with smsc.Smsc(tls=(peer.KEY, peer.CERTIFICATE)) as secure:
        async with provider(secure.port, tls=True, ca_file=str(tmp_path / "certificate.pem")) as made:
            assert isinstance(await made.send(HELLO), message.Accepted)
        async with provider(secure.port, tls=True) as strict:
            outcome = await strict.send(HELLO)
        assert (type(outcome), outcome.code) == (message.ProviderDown, "tls")
        assert len(secure.events("bind")) == 1


# --- the gateway ------------------------------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: pathlib.Path, other: smsc.Smsc) -> collections.abc.Iterator[gateway.Gateway]:
    """A gateway whose Asterisk is away, and whose one provider is the SMSC."""
    nobody = types.SimpleNamespace(
        ari_url="http://127.0.0.1:9", ari_user="x", ari_password="x",
        ami_host="127.0.0.1", ami_port=9, ami_user="x", ami_secret="x",
    )  # fmt: skip
    carrier = {"type": "smpp", "host": "127.0.0.1", "port": other.port, "system_id": "acme", "password": "s3cret-word"}
    made = gateway.Gateway(
        tmp_path / "gateway",
        typing.cast(asterisk.Asterisk, nobody),
        {"info": {"sender": "ACME", "send_to_caller": True, "content": {"text": EMOJI_AT_THE_SEAM}}},
        providers={"carrier": carrier},
        routes={"default": ["carrier"]},
        retry={"first": "1s", "factor": 1, "jitter": 0},
        health={"break_after": 1000},
    )
    other.behave(bind_status=smsc.WRONG_PASSWORD)  # it binds as soon as it runs
    try:
        yield made.start(connected=False)
    finally:
        made.stop()


def test_a_gateway_waits_until_it_is_let_in_sends_and_takes_leave(running: gateway.Gateway, other: smsc.Smsc) -> None:
    since = Since(other)
    done = running.command("trigger", "info", "--caller", "+48600100200")
    assert done.returncode == 0, done.stderr
    other.wait_for("two more binds", lambda: len(since.events("bind")) >= 2)
    (held_up,) = running.history()
    assert held_up["status"] in ("scheduled", "sending")
    other.behave(bind_status=0)
    gateway.wait_for("sent", lambda: running.history()[0]["status"] == "accepted")
    story = running.command("explain", held_up["id"]).stdout
    assert "0x0e" in story
    assert "ESME_RINVPASWD" in story
    for submitted in since.events("submit_sm_resp"):
        assert submitted["message_id"] in story
    assert running.stop() == 0
    other.wait_for("leave", lambda: bool(since.events("unbind")))
    assert "".join(one["text"] for one in since.events("submit_sm")) == EMOJI_AT_THE_SEAM
    assert len(running.events("the SMSC refuses the bind")) == 1
    assert len(running.events("bound to the SMSC again")) == 1
    assert "s3cret-word" not in running.said() + story
