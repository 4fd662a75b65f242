"""PDUs go out as smpplib reads them, and come back as they went; octets that are none are Malformed, nothing else."""

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpplib import smpp as oracle  # type: ignore[import-untyped]

from agi_sms.providers import smpp_pdus as pdus

OCTETS = st.integers(0, 255)
WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=10)
ADDRESSES = st.builds(pdus.Address, ton=OCTETS, npi=OCTETS, value=WORDS)
SHORTS = st.builds(
    pdus.Short,
    service_type=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=5),
    source=ADDRESSES,
    to=ADDRESSES,
    esm_class=OCTETS,
    validity=WORDS,
    registered_delivery=OCTETS,
    data_coding=OCTETS,
    message=st.binary(max_size=254),
    tlvs=st.fixed_dictionaries(
        {},
        optional={
            pdus.Tlv.SAR_REF: st.binary(min_size=2, max_size=2),
            pdus.Tlv.SAR_TOTAL: st.binary(min_size=1, max_size=1),
            pdus.Tlv.SAR_NUMBER: st.binary(min_size=1, max_size=1),
            pdus.Tlv.PAYLOAD: st.binary(min_size=1, max_size=2000),
        },
    ),
)


class Numbers:
    sequence = 7

    def next_sequence(self) -> int:
        return self.sequence


def by_smpplib(command: str, pdu: bytes) -> Any:
    made = oracle.make_pdu(command, client=Numbers())
    made.parse(pdu)
    return made


@given(SHORTS)
def test_smpplib_reads_what_we_write(short: pdus.Short) -> None:
    octets = pdus.Pdu(command=pdus.Command.SUBMIT, sequence=7, body=short.encode()).encode()
    read = by_smpplib("submit_sm", octets)
    assert (read.length, read.sequence, read.status) == (len(octets), 7, 0)
    assert read.service_type.decode() == short.service_type
    for prefix, address, name in (
        ("source_addr", short.source, "source_addr"),
        ("dest_addr", short.to, "destination_addr"),
    ):
        found = (getattr(read, f"{prefix}_ton"), getattr(read, f"{prefix}_npi"), getattr(read, name).decode())
        assert found == (address.ton, address.npi, address.value)
    assert read.validity_period.decode() == short.validity
    assert (read.esm_class, read.registered_delivery) == (short.esm_class, short.registered_delivery)
    assert (read.protocol_id, read.priority_flag, read.replace_if_present_flag, read.sm_default_msg_id) == (0, 0, 0, 0)
    assert (read.data_coding, read.short_message or b"") == (short.data_coding, short.message)
    assert (read.message_payload or b"") == short.tlvs.get(pdus.Tlv.PAYLOAD, b"")
    assert read.sar_total_segments == (short.tlvs[pdus.Tlv.SAR_TOTAL][0] if pdus.Tlv.SAR_TOTAL in short.tlvs else None)


@given(SHORTS)
def test_a_deliver_sm_comes_back_as_it_went(short: pdus.Short) -> None:
    assert pdus.Short.deliver(short.encode()) == short
    assert pdus.Short.deliver(short.encode()).content == (short.message or short.tlvs.get(pdus.Tlv.PAYLOAD, b""))


@given(SHORTS, st.binary(max_size=300))
def test_a_data_sm_is_read(short: pdus.Short, payload: bytes) -> None:
    head = pdus.text(short.service_type) + short.source.encode() + short.to.encode()
    flags = bytes((short.esm_class, short.registered_delivery, short.data_coding))
    assert pdus.Short.data(head + flags + pdus.tlvs({pdus.Tlv.PAYLOAD: payload})) == pdus.Short(
        service_type=short.service_type,
        source=short.source,
        to=short.to,
        esm_class=short.esm_class,
        registered_delivery=short.registered_delivery,
        data_coding=short.data_coding,
        tlvs={pdus.Tlv.PAYLOAD: payload},
    )


@given(
    command=st.integers(0, 0xFFFFFFFF),
    status=st.integers(0, 0xFFFFFFFF),
    sequence=st.integers(0, 0xFFFFFFFF),
    body=st.binary(max_size=300),
)
def test_any_pdu_comes_back_as_it_went(command: int, status: int, sequence: int, body: bytes) -> None:
    made = pdus.Pdu(command=command, status=status, sequence=sequence, body=body)
    octets = made.encode()
    assert pdus.first(octets) == made
    assert made.size == len(octets)
    assert pdus.first(b"before" + octets + b"behind", 6) == made
    assert [pdus.first(octets[:end]) for end in range(len(octets))] == [None] * len(octets)
    assert [pdus.first(b"before" + octets[:end], 6) for end in range(len(octets))] == [None] * len(octets)


@given(st.binary(max_size=400))
def test_any_octets_are_read_or_malformed(octets: bytes) -> None:
    for read in (pdus.first, pdus.Short.deliver, pdus.Short.data):
        with contextlib.suppress(pdus.Malformed):
            read(octets)
    name, tlvs = pdus.answer(octets)
    assert name.isprintable()
    assert len(name) <= pdus.LONGEST_ID
    assert all(isinstance(value, bytes) for value in tlvs.values())


@pytest.mark.parametrize("size", [0, 15, 65537, 0xFFFFFFFF])
def test_lengths_that_no_pdu_has(size: int) -> None:
    with pytest.raises(pdus.Malformed, match=f"a PDU of {size} octets; there are 16 to 65536"):
        pdus.first(struct.pack(">I", size))


@pytest.mark.parametrize("size", [16, 65536])
def test_lengths_that_a_pdu_can_have(size: int) -> None:
    octets = struct.pack(">IIII", size, 0x15, 0, 7) + bytes(size - 16)
    assert pdus.first(octets[:4]) is None
    assert pdus.first(octets) == pdus.Pdu(command=0x15, sequence=7, body=bytes(size - 16))


def test_what_would_end_a_field_early_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a NUL ends the field$"):
        pdus.text("a\0b")
    for value in ("a\0b", "ż"):
        with pytest.raises(ValueError):
            pdus.text(value)
        with pytest.raises(ValueError):
            pdus.bind(system_id=value, password="", system_type="")


def test_bodies_that_end_too_early() -> None:
    whole = pdus.Short(message=b"hi").encode()
    for end in range(len(whole)):
        with pytest.raises(pdus.Malformed, match=r"^(the body ends too early|a field has no end)$"):
            pdus.Short.deliver(whole[:end])
    with pytest.raises(pdus.Malformed, match=r"^a field has no end$"):
        pdus.Short.deliver(b"")
    with pytest.raises(pdus.Malformed, match=r"^the body ends too early$"):
        pdus.Short.deliver(b"\0")


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (b"a b", "a b"), (b" a\t", "a\\x09"), (b"a\x1b1", "a\\x1b1"), (b"\xe9a", "\\xe9a"), (b"\x00\x7f", "\\x00\\x7f"),
        (b"x" * 200, "x" * pdus.LONGEST_ID), (b"\x1b" * 200, ("\\x1b" * 200)[: pdus.LONGEST_ID]),
    ],
)  # fmt: skip
def test_what_is_shown_of_an_smscs_own_words(octets: bytes, shown: str) -> None:
    assert pdus.printable(octets) == shown
    assert pdus.answer(octets + b"\0") == ((shown, {}) if b"\0" not in octets else ("", {}))


def test_a_parameter_without_a_value_at_the_very_end() -> None:
    tlvs: dict[int, bytes] = {pdus.Tlv.STATE: b"\x02", pdus.Tlv.RECEIPTED_ID: b""}
    assert pdus.Short.deliver(pdus.Short(tlvs=tlvs).encode()).tlvs == tlvs
    assert pdus.answer(b"id\0" + pdus.tlvs({pdus.Tlv.STATUS_TEXT: b""})) == ("id", {pdus.Tlv.STATUS_TEXT: b""})


def test_a_bind_as_smpplib_reads_it() -> None:
    body = pdus.bind(system_id="acme", password="s3cret", system_type="VMA")
    octets = pdus.Pdu(command=pdus.Command.BIND_TRANSCEIVER, sequence=1, body=body).encode()
    read = by_smpplib("bind_transceiver", octets)
    assert (read.system_id, read.password, read.system_type) == (b"acme", b"s3cret", b"VMA")
    assert (read.interface_version, read.addr_ton, read.addr_npi, read.address_range) == (0x34, 0, 0, b"")


def test_a_parameter_that_smpplib_cannot_read_harms_nothing() -> None:
    tlv = struct.pack(">HH", pdus.Tlv.STATUS_TEXT, 5) + b"fine\0"
    octets = pdus.Pdu(command=0x80000004, sequence=1, body=b"id\0" + tlv).encode()
    with pytest.raises(KeyError):  # why the codec is ours
        by_smpplib("submit_sm_resp", octets)
    assert pdus.answer(octets[16:]) == ("id", {pdus.Tlv.STATUS_TEXT: b"fine\0"})


@pytest.mark.parametrize("tail", [b"\0", b"\x00\x1e", b"\x00\x1e\x00\x09abc", b"\x14\x00\x00\x00\0"])
def test_parameters_that_are_cut_off_are_left_out(tail: bytes) -> None:
    short = pdus.Short(message=b"hi", tlvs={pdus.Tlv.STATE: b"\x02"})
    read = pdus.Short.deliver(short.encode() + tail)
    assert read.message == b"hi"
    assert read.tlvs[pdus.Tlv.STATE] == b"\x02"
    assert pdus.Tlv.RECEIPTED_ID not in read.tlvs
