"""Receipts are read in every dress they come in, and nobody but the SMSC can make one."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import message, ports
from agi_sms.message import Status
from agi_sms.providers import smpp_pdus as pdus
from agi_sms.providers import smpp_receipts as receipts
from agi_sms.providers.smpp_pdus import Short, Tlv
from agi_sms.providers.smpp_receipts import Nameless, ReceiptId


def read(text: str, **changes: object) -> ports.Receipt:
    found = receipts.read(Short(esm_class=4, message=text.encode("latin-1"), **changes), ReceiptId.AS_IS)  # type: ignore[arg-type]
    assert isinstance(found, ports.Receipt)
    return found


@pytest.mark.parametrize(
    ("text", "name", "state", "code"),
    [
        (  # SMPP 3.4, appendix B
            "id:0123456789 sub:001 dlvrd:001 submit date:0202022020 done date:0202022025 stat:DELIVRD err:000 text:Hi",
            "0123456789", Status.DELIVERED, "",
        ),
        (  # dates with seconds, error in hexadecimal
            "id:6C7C sub:001 dlvrd:000 submit date:190608165232 done date:190608165237 stat:UNDELIV err:0x4B text:",
            "6C7C", Status.FAILED, "0x4B",
        ),
        ("ID:7 SUB:001 DLVRD:001 STAT:Delivrd ERR:0 TEXT:Hi", "7", Status.DELIVERED, ""),
        ("id:a-b.c_d stat:REJECTD err:00A", "a-b.c_d", Status.FAILED, "00A"),
        ("stat:EXPIRED id:9", "9", Status.FAILED, ""),
        ("id: 12, stat: DELETED, err: 27", "12", Status.FAILED, "27"),
        ("id=12;status=DELIVERED", "12", Status.DELIVERED, ""),
        ("id:1 stat:ACCEPTD", "1", Status.ACCEPTED, ""),
        ("id:1 stat:ENROUTE", "1", Status.ACCEPTED, ""),
        ("id:1 stat:UNKNOWN", "1", Status.ACCEPTED, ""),
        ("id:1 stat:BUFFRED", "1", Status.ACCEPTED, ""),
        ("id:1 stat:UNDELIVERABLE err:5", "1", Status.FAILED, "5"),
        ("id:1 stat:FAILED", "1", Status.FAILED, ""),
        ("id:1", "1", Status.ACCEPTED, ""),
        ("id:1 stat:DELIVRD id:2 stat:UNDELIV", "1", Status.DELIVERED, ""),
    ],
)  # fmt: skip
def test_texts(text: str, name: str, state: Status, code: str) -> None:
    found = read(text)
    assert (found.provider_id, found.state, found.code, found.ref) == (name, state, code, "")


def test_the_messages_own_text_is_neither_read_nor_kept() -> None:
    found = read("id:1 stat:UNDELIV err:0 text:id:2 stat:DELIVRD our secret")
    assert (found.provider_id, found.state) == ("1", Status.FAILED)
    assert found.raw == "id:1 stat:UNDELIV err:0"
    assert receipts.read(Short(esm_class=4, message=b"text: id:2 stat:DELIVRD"), ReceiptId.AS_IS) == Nameless()


def test_parameters_go_before_the_text() -> None:
    tlvs = {Tlv.RECEIPTED_ID: b"abc\0junk", Tlv.STATE: b"\x02", Tlv.NETWORK_ERROR: b"\x03\x00\x00"}
    found = read("id:xyz stat:UNDELIV", tlvs=tlvs)
    assert (found.provider_id, found.state, found.code) == ("abc", Status.DELIVERED, "")
    assert found.raw == "id:xyz stat:UNDELIV"


@pytest.mark.parametrize(
    ("number", "state", "word"),
    [
        (b"\x00", Status.ACCEPTED, "SCHEDULED"), (b"\x01", Status.ACCEPTED, "ENROUTE"),
        (b"\x02", Status.DELIVERED, "DELIVRD"), (b"\x03", Status.FAILED, "EXPIRED"),
        (b"\x04", Status.FAILED, "DELETED"), (b"\x05", Status.FAILED, "UNDELIV"),
        (b"\x06", Status.ACCEPTED, "ACCEPTD"), (b"\x07", Status.ACCEPTED, "UNKNOWN"),
        (b"\x08", Status.FAILED, "REJECTD"), (b"\x09", Status.FAILED, "SKIPPED"),
        (b"\x00\x02", Status.DELIVERED, "DELIVRD"), (b"\xff", Status.ACCEPTED, ""), (b"", Status.ACCEPTED, ""),
    ],
)  # fmt: skip
def test_states_as_numbers(number: bytes, state: Status, word: str) -> None:
    found = read("", tlvs={Tlv.RECEIPTED_ID: b"abc\0", Tlv.STATE: number})
    assert (found.state, found.detail) == (state, word)
    assert found.raw == f"id:abc stat:{word}".strip()


@pytest.mark.parametrize(
    ("said", "network", "code"),
    [
        ("7", b"\x03\x00\x0a", "7"),  # the SMSC's own goes before the network's
        ("0", b"\x03\x00\x0a", "3/10"), ("000", b"\x03\x01\x00", "3/256"), ("0", b"\x08\xff\xfe", "8/65534"),
        ("0", b"\x03\x00\x00", ""), ("0", b"\x03\x0a", ""), ("0", b"\x03\x00\x0a\x00", ""), ("0", b"", ""),
        ("X0", b"", "X0"), ("0X", b"\x03\x00\x0a", "0X"), ("9" * 40, b"", "9" * 40), ("9" * 41, b"", "9" * 39 + "…"),
    ],
)  # fmt: skip
def test_errors_of_the_smsc_and_of_the_network(said: str, network: bytes, code: str) -> None:
    assert read(f"id:1 stat:UNDELIV err:{said}", tlvs={Tlv.NETWORK_ERROR: network}).code == code


def test_what_is_kept_of_a_long_receipt() -> None:
    word = "D" * 41
    found = read(f"id:1 stat:{word} {'x' * 400}")
    assert found.detail == "D" * 39 + "…"
    assert len(found.raw) == 300
    assert found.raw.startswith("id:1 stat:DDD")


def test_how_far_a_receipt_is_read() -> None:
    late = " " * 983 + "id:1 stat:DELIVRD"  # 1,000 characters, in one or two octets each
    for short in (
        Short(esm_class=4, message=late.encode()),
        Short(esm_class=4, data_coding=8, message=late.encode("utf-16-be")),
    ):
        found = receipts.read(short, ReceiptId.AS_IS)
        assert isinstance(found, ports.Receipt)
        assert found.state is Status.DELIVERED
        further = dataclasses.replace(short, message=late.replace("id", "   id").encode())
        assert receipts.read(further, ReceiptId.AS_IS) != found


def test_letters_that_are_none_do_no_harm() -> None:
    half = "id:1ż stat:DELIVRD".encode("utf-16-be") + b" \xd8\x00 \x00"
    found = receipts.read(Short(esm_class=4, data_coding=8, message=half), ReceiptId.AS_IS)
    assert isinstance(found, ports.Receipt)
    assert (found.provider_id, found.state) == ("1?", Status.DELIVERED)


def test_a_receipt_in_ucs2_behind_a_header_or_in_the_payload() -> None:
    text = "id:1 stat:DELIVRD"
    header = b"\x05\x00\x03\x01\x01\x01"
    for short in (
        Short(esm_class=4, data_coding=8, message=text.encode("utf-16-be")),
        Short(esm_class=0x44, message=header + text.encode()),
        Short(esm_class=4, tlvs={Tlv.PAYLOAD: text.encode()}),
    ):
        found = receipts.read(short, ReceiptId.AS_IS)
        assert isinstance(found, ports.Receipt)
        assert (found.provider_id, found.state) == ("1", Status.DELIVERED)


@pytest.mark.parametrize(
    ("short", "expected"),
    [
        (Short(esm_class=0x04), True),
        (Short(esm_class=0x44), True),
        (Short(esm_class=0x20), True),
        (Short(esm_class=0x07), True),
        (Short(tlvs={Tlv.RECEIPTED_ID: b"1\0", Tlv.STATE: b"\x02"}), True),
        (Short(tlvs={Tlv.RECEIPTED_ID: b"1\0"}), False),
        (Short(message=b"id:1 stat:DELIVRD"), False),
        (Short(esm_class=0x40, message=b"id:1 stat:DELIVRD"), False),
        (Short(esm_class=0x08), False),  # the phone's own acknowledgement: anybody's
        (Short(esm_class=0x10), False),
    ],
)
def test_only_the_smsc_says_what_is_a_receipt(short: Short, expected: bool) -> None:
    assert receipts.is_receipt(short) is expected


@pytest.mark.parametrize(
    ("how", "submitted", "receipted", "kept"),
    [
        (ReceiptId.AS_IS, "0A1B", "0A1B", "0A1B"),
        (ReceiptId.DECIMAL, "0A1B", "0000002587", "2587"),
        (ReceiptId.DECIMAL, "ffffffffffffffff", "18446744073709551615", "18446744073709551615"),
        (ReceiptId.HEX, "2587", "0a1b", "2587"),
        (ReceiptId.HEX, "not-a-number", "not-a-number", "not-a-number"),
        (ReceiptId.HEX, "٣", "٣", "٣"),
        (ReceiptId.DECIMAL, "", "", ""),
    ],
)
def test_ids(how: ReceiptId, submitted: str, receipted: str, kept: str) -> None:
    assert how.submitted(submitted) == kept
    assert how.receipted(receipted) == kept


@given(
    esm_class=st.integers(0, 255),
    data_coding=st.integers(0, 255),
    octets=st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from(["id:", "stat:", "err:", "text:", " ", "DELIVRD", "1", "\0", "é", "::"]), max_size=30
        ).map(lambda parts: "".join(parts).encode("latin-1")),
        st.just(b"id:" * 20_000),
    ),
    tlvs=st.dictionaries(
        st.sampled_from([Tlv.RECEIPTED_ID, Tlv.STATE, Tlv.NETWORK_ERROR, Tlv.PAYLOAD]), st.binary(max_size=200)
    ),
    how=st.sampled_from(ReceiptId),
)
def test_any_octets_are_a_receipt_or_nameless(
    esm_class: int, data_coding: int, octets: bytes, tlvs: dict[int, bytes], how: ReceiptId
) -> None:
    short = Short(esm_class=esm_class, data_coding=data_coding, message=octets, tlvs=tlvs)
    receipts.is_receipt(short)
    found = receipts.read(short, how)
    if isinstance(found, Nameless):
        return
    assert found.provider_id
    assert found.state in (Status.DELIVERED, Status.FAILED, Status.ACCEPTED)
    for kept in (found.provider_id, found.raw, found.code, found.detail):
        assert len(kept) <= message.LONGEST_DETAIL
        assert kept.isprintable()


@given(
    st.text(
        st.characters(codec="latin-1", exclude_categories=["Cc", "Zs"], exclude_characters=",;:="),
        min_size=1,
        max_size=60,
    )
)
def test_any_id_is_found_again(name: str) -> None:
    found = read(f"id:{name} sub:001 dlvrd:001 stat:DELIVRD err:000 text:x")
    assert found.provider_id == pdus.answer(name.encode("latin-1") + b"\0")[0]  # as the answer named it
    assert found.state is Status.DELIVERED
