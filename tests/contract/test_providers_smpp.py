"""The SMPP provider: what goes over the wire, and what each answer, and each silence, means."""

import asyncio
import struct
from typing import Any

import pytest

from agi_sms import message, segments
from agi_sms.message import Encoding
from tests.contract import smsc, subjects

EURO_AT_THE_SEAM = "a" * 152 + "€" + "b" * 152 + "[" + "c" * 20
EMOJI_AT_THE_SEAM = "ż" * 66 + "😀" + "ó" * 65 + "🎉" + "ł" * 20


def written(text: str, **changes: Any) -> Any:
    sized = segments.measure(text)
    return subjects.submission(text=sized.text, encoding=sized.encoding, segments=sized.segments, **changes)


# --- the wire -----------------------------------------------------------------------------------------------------


async def test_smpp_binds_once_as_a_transceiver_and_submits() -> None:
    async with smsc.running() as other:
        made = smsc.provider(other.port, system_type="VMA", service_type="CMT", validity="1d2h3m")
        outcomes = [await made.send(written("Hello")), await made.send(written("Zażółć"))]
        await made.close()
    assert outcomes == [message.Accepted(ids=("id1",)), message.Accepted(ids=("id2",))]
    (bind,) = other.of(smsc.BIND)
    assert bind.body == b"acme\0s3cret\0VMA\0\x34\0\0\0"
    plain, polish = other.submits
    assert (plain.service_type, plain.esm_class, plain.data_coding) == (b"CMT", 0, 0)
    assert (plain.source_addr_ton, plain.source_addr_npi, plain.source_addr) == (5, 0, b"ACME")
    assert (plain.dest_addr_ton, plain.dest_addr_npi, plain.destination_addr) == (1, 1, b"48600100200")
    assert (plain.registered_delivery, plain.validity_period) == (1, b"000001020300000R")
    assert plain.short_message == b"Hello"
    assert (polish.data_coding, polish.short_message) == (8, "Zażółć".encode("utf-16-be"))
    assert [pdu.sequence for pdu in other.received] == [1, 2, 3, 4]
    assert other.received[-1].command == smsc.UNBIND


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("ACME", (5, 0, b"ACME")),
        ("+48600100200", (1, 1, b"48600100200")),
        ("7333", (3, 0, b"7333")),
        ("", (0, 0, b"")),
        ("\x00\u202eA\r\nnaïve sender", (5, 0, b"Anave sende")),
    ],
)
async def test_smpp_kinds_of_senders(sender: str, expected: tuple[int, int, bytes]) -> None:
    async with smsc.running() as other:
        made = smsc.provider(other.port)
        await made.send(written("Hello", sender=sender))
        await made.close()
    (sent,) = other.submits
    assert (sent.source_addr_ton, sent.source_addr_npi, sent.source_addr) == expected


async def test_smpp_kinds_can_be_set_and_a_sender_for_those_without() -> None:
    async with smsc.running() as other:
        kinds = {"name": {"ton": 0, "npi": 1}, "recipient": {"ton": 2, "npi": 8}}
        made = smsc.provider(other.port, sender="HOUSE", addresses=kinds)
        await made.send(written("Hello", sender=""))
        await made.close()
    (sent,) = other.submits
    assert (sent.source_addr_ton, sent.source_addr_npi, sent.source_addr) == (0, 1, b"HOUSE")
    assert (sent.dest_addr_ton, sent.dest_addr_npi) == (2, 8)


@pytest.mark.parametrize("concatenation", ["udh8", "udh16", "sar", "payload"])
@pytest.mark.parametrize("text", [EURO_AT_THE_SEAM, EMOJI_AT_THE_SEAM], ids=["gsm7", "ucs2"])
async def test_smpp_long_texts_come_together_again(concatenation: str, text: str) -> None:
    async with smsc.running() as other:
        made = smsc.provider(other.port, concatenation=concatenation)
        outcome = await made.send(written(text))
        await made.close()
    sent = other.submits
    assert smsc.texts(sent) == [text]
    assert isinstance(outcome, message.Accepted)
    assert len(outcome.ids) == len(sent) == (1 if concatenation == "payload" else 3)
    for one in sent if concatenation != "payload" else []:
        header, octets = smsc.content(one)
        assert len(header) == {"udh8": 6, "udh16": 7, "sar": 0}[concatenation]
        assert bool(one.esm_class & 0x40) is bool(header)
        units = len(octets) // 2 if one.data_coding == 8 else len(octets)
        assert units <= {"udh16": (152, 66)}.get(concatenation, (153, 67))[one.data_coding == 8]


async def test_smpp_references_of_one_recipient_differ() -> None:
    async with smsc.running() as other:
        made = smsc.provider(other.port)
        long = written("x" * 200)
        await asyncio.gather(*(made.send(long) for _ in range(100)))
        await made.close()
    assert len({smsc.content(one)[0][3] for one in other.submits}) == 100


@pytest.mark.parametrize(
    ("changes", "text", "coding", "octets"),
    [
        ({"alphabet": "latin1"}, "caffè", 3, "caffè".encode("latin-1")),
        ({"alphabet": "latin1", "data_coding": 0}, "caffè", 0, "caffè".encode("latin-1")),
        ({"alphabet": "latin1"}, "5€", 8, "5€".encode("utf-16-be")),
        ({"alphabet": "ascii"}, "caffe_@", 1, b"caffe_@"),
        ({"alphabet": "ascii"}, "caffè", 8, "caffè".encode("utf-16-be")),
        ({"data_coding": 0xF0}, "caffè_@€", 0xF0, b"caff\x04\x11\x00\x1be"),
    ],
)
async def test_smpp_alphabets(changes: dict[str, Any], text: str, coding: int, octets: bytes) -> None:
    async with smsc.running() as other:
        made = smsc.provider(other.port, **changes)
        await made.send(written(text))
        await made.close()
    (sent,) = other.submits
    assert (sent.data_coding, sent.short_message) == (coding, octets)


async def test_smpp_a_text_of_too_many_segments_is_rejected() -> None:
    async with smsc.running() as other:
        made, payload = smsc.provider(other.port), smsc.provider(other.port, concatenation="payload")
        text = "x" * (153 * 255 + 1)
        outcomes = [await made.send(written(text)), await payload.send(written(text * 2))]
        await made.close()
        await payload.close()
    assert [(type(one), one.code) for one in outcomes] == [(message.Rejected, "segments")] * 2
    assert other.received == []


# --- what answers mean --------------------------------------------------------------------------------------------

DOWN, RETRY, REJECTED, UNCERTAIN = message.ProviderDown, message.Retry, message.Rejected, message.Uncertain


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0B, REJECTED), (0x0A, REJECTED), (0x01, REJECTED), (0x65, REJECTED), (0x66, REJECTED), (0xC2, REJECTED),
        (0x58, RETRY), (0x14, RETRY), (0x08, RETRY), (0x64, RETRY), (0x04, RETRY), (0x45, RETRY), (0xFF, RETRY),
        (0x0E, DOWN), (0x53, DOWN),
        (0x400, RETRY), (0x410, RETRY), (0x700, RETRY), (0xFFFFFFFF, RETRY),
        (0x455, REJECTED), (0x456, RETRY), (0x457, UNCERTAIN), (0x458, DOWN), (0x46, REJECTED),
    ],
)  # fmt: skip
async def test_smpp_statuses(status: int, expected: type[message.Outcome]) -> None:
    codes = {"0x0455": "reject", "1110": "retry", 0x457: "uncertain", "0x458": "provider_down", "0x46": "reject"}
    async with smsc.running(submit=smsc.status(status)) as other:
        made = smsc.provider(other.port, codes=codes)
        outcome = await made.send(written("Hello"))
        await made.close()
    assert type(outcome) is expected
    assert int(outcome.code, 16) == status
    assert outcome.detail
    assert len(other.submits) == 1


async def test_smpp_what_the_smsc_says_of_a_refusal_is_kept_without_the_text_and_the_password() -> None:
    said = b"password s3cret: no \x1b[31m'the quick brown fox jumps'"
    async with smsc.running(submit=smsc.status(0x66, b"\0" + smsc.tlv(0x1D, said + b"\0"))) as other:
        made = smsc.provider(other.port)
        outcome = await made.send(written("the quick brown fox jumps"))
        await made.close()
    assert outcome.code == "0x66"
    assert "password ***: no \\x1b[31m'***'" in outcome.detail


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b"abc\0", ("abc",)),
        (b"abc", ("abc",)),
        (b"abc\0" + smsc.tlv(0x1D, b"fine\0"), ("abc",)),  # not in the specification, but done
        (b"abc\0\x14\x00\x00\xff!", ("abc",)),
        (b"\0", ()),
        (b"", ()),
        (b"\x1b[2J\xff\0", ("\\x1b[2J\\xff",)),
        (b"x" * 60_000, ("x" * 128,)),
    ],
)
async def test_smpp_any_name_that_comes_with_a_yes_is_a_yes(body: bytes, ids: tuple[str, ...]) -> None:
    async def accept(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        connection.answer(pdu, body)

    async with smsc.running(submit=accept) as other:
        made = smsc.provider(other.port)
        assert await made.send(written("Hello")) == message.Accepted(ids=ids)
        await made.close()


async def wrong_sequence(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
    connection.send(smsc.SUBMIT | smsc.RESPONSE, pdu.sequence + 1, b"other\0")
    connection.send(smsc.SUBMIT | smsc.RESPONSE, 0, b"other\0")
    connection.send(smsc.ENQUIRE | smsc.RESPONSE, pdu.sequence)


PARTIAL = struct.pack(">IIII", 200, smsc.SUBMIT | smsc.RESPONSE, 0, 2) + b"id"
BIG = struct.pack(">IIII", 0x7FFFFFFF, smsc.SUBMIT | smsc.RESPONSE, 0, 2)
SMALL = struct.pack(">IIII", 15, smsc.SUBMIT | smsc.RESPONSE, 0, 2)


@pytest.mark.parametrize(
    "submit",
    [
        smsc.silent,
        wrong_sequence,
        smsc.raw(PARTIAL),
        smsc.raw(BIG),
        smsc.raw(SMALL),
        smsc.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        smsc.raw(bytes(64)),
        smsc.raw(PARTIAL, then=lambda connection: connection.writer.close()),
        smsc.raw(b"", then=lambda connection: connection.writer.close()),
        smsc.raw(b"", then=lambda connection: connection.cut()),
        smsc.raw(PARTIAL[:30], then=lambda connection: connection.cut()),
    ],
    ids=[
        "silence", "wrong sequence", "half a PDU", "too long", "too short", "not SMPP", "zeros",
        "closed in the answer", "closed", "reset", "reset in the answer",
    ],
)  # fmt: skip
async def test_smpp_no_answer_is_uncertain_and_written_once(submit: smsc.Behaviour) -> None:
    async with smsc.running(submit=submit) as other:
        made = smsc.provider(other.port, timeout="300ms")
        outcome = await made.send(written("Hello"))
        await made.close()
    assert isinstance(outcome, message.Uncertain), outcome
    assert outcome.code in ("timeout", "lost")
    assert len(other.submits) == 1


async def test_smpp_a_drip_never_makes_an_answer() -> None:
    async def drip(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        for octet in PARTIAL:
            connection.writer.write(bytes((octet,)))
            await connection.writer.drain()
            await asyncio.sleep(0.02)

    async with smsc.running(submit=drip) as other:
        made = smsc.provider(other.port, timeout="300ms")
        outcome = await made.send(written("Hello"))
        await made.close()
    assert isinstance(outcome, message.Uncertain)


async def test_smpp_a_nack_was_not_taken() -> None:
    async def nack(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        connection.send(smsc.NACK, pdu.sequence, status=0x03)

    async with smsc.running(submit=nack) as other:
        made = smsc.provider(other.port)
        outcome = await made.send(written("Hello"))
        await made.close()
    assert (type(outcome), outcome.code) == (message.Rejected, "0x03")


async def test_smpp_a_nack_without_an_error_is_no_acceptance() -> None:
    """Nobody can tell what it means; the connection stays, and the next message is taken."""

    async def nack(connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        connection.send(smsc.NACK, pdu.sequence)

    async with smsc.running(submit=smsc.in_turn(nack, smsc.taken)) as other:
        made = smsc.provider(other.port)
        outcomes = [await made.send(written("Hello")) for _ in range(2)]
        await made.close()
    assert [(type(one), one.code) for one in outcomes] == [(message.Uncertain, "nack"), (message.Accepted, "")]
    assert "generic_nack" in outcomes[0].detail


# --- several segments ---------------------------------------------------------------------------------------------


async def test_smpp_refused_at_the_first_segment_nothing_was_taken() -> None:
    async with smsc.running(submit=smsc.status(0x0B)) as other:
        made = smsc.provider(other.port)
        outcome = await made.send(written("x" * 400))
        await made.close()
    assert isinstance(outcome, message.Rejected)
    assert len(other.submits) == 1


@pytest.mark.parametrize(
    ("then", "code"), [(smsc.status(0x0B), "0x0b"), (smsc.silent, "timeout")], ids=["refused", "silence"]
)
async def test_smpp_half_a_text_is_uncertain_and_says_so(then: smsc.Behaviour, code: str) -> None:
    async with smsc.running(submit=smsc.in_turn(smsc.taken, then)) as other:
        made = smsc.provider(other.port, timeout="300ms")
        outcome = await made.send(written("x" * 400))
        await made.close()
    assert (type(outcome), outcome.code) == (message.Uncertain, code)
    assert outcome.detail.startswith("1 of 3 segments were taken (id-2), then: ")
    assert len(other.submits) == 2  # none of them a second time


async def test_smpp_a_segment_that_was_not_taken_goes_again_not_the_whole() -> None:
    async with smsc.running(submit=smsc.in_turn(smsc.taken, smsc.status(0x58), smsc.taken)) as other:
        made = smsc.provider(other.port)
        text = "y" * 400
        outcome = await made.send(written(text))
        await made.close()
    assert isinstance(outcome, message.Accepted)
    assert len(outcome.ids) == 3
    assert len(other.submits) == 4
    first, refused, *rest = other.submits
    assert smsc.texts([first, *rest]) == [text]
    assert smsc.content(refused) == smsc.content(rest[0])


async def test_smpp_what_is_called_gsm7_and_is_not_goes_as_ucs2() -> None:
    async with smsc.running() as other:
        made = smsc.provider(other.port)
        await made.send(subjects.submission(text="\ud800😀`" * 60, encoding=Encoding.GSM7))
        await made.close()
    assert smsc.texts(other.submits) == ["?😀`" * 60]
