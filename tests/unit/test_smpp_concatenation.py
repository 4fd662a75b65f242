"""Whatever the text, its segments fit, belong together, and read as the text again."""

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import message, segments
from agi_sms.message import Encoding
from agi_sms.providers import smpp_concatenation as concatenation
from agi_sms.providers.smpp_concatenation import Alphabet, Concatenation, Piece, Style
from agi_sms.providers.smpp_pdus import Tlv

LETTERS = "".join(sorted(segments._GSM7))
GSM7 = st.text(st.sampled_from(LETTERS), max_size=700)
SEAMS = st.tuples(st.integers(140, 170), st.sampled_from(["€", "[", "😀", "ż"]), st.integers(0, 320)).map(
    lambda it: "a" * it[0] + it[1] + "b" * it[2]
)
ANY = st.one_of(GSM7, SEAMS, st.text(max_size=400))
DECODE = {0: "gsm0338", 1: "ascii", 3: "latin-1", 8: "utf-16-be"}
smsutil.encode("")  # which makes its codec known


def cut(text: str, style: Style, reference: int = 0xA5) -> tuple[segments.Sized, list[Piece]]:
    sized = segments.measure(text)
    return sized, concatenation.pieces(sized.text, sized.encoding, style, lambda: reference)


def read(pieces: list[Piece]) -> str:
    """As a phone does: by smsutil's alphabet."""
    found = ""
    for piece in pieces:
        octets = piece.tlvs.get(Tlv.PAYLOAD, piece.octets)
        found += octets[1 + octets[0] if piece.esm_class & 0x40 else 0 :].decode(DECODE[piece.data_coding])
    return found


@given(ANY, st.sampled_from(Concatenation), st.sampled_from(Alphabet))
def test_the_segments_read_as_the_text(text: str, how: Concatenation, alphabet: Alphabet) -> None:
    sized, pieces = cut(text, Style(concatenation=how, alphabet=alphabet))
    assert read(pieces) == sized.text
    assert len({piece.data_coding for piece in pieces}) == 1


@given(ANY, st.sampled_from([Concatenation.UDH8, Concatenation.SAR]))
def test_as_many_segments_as_were_counted_and_each_fits(text: str, how: Concatenation) -> None:
    sized, pieces = cut(text, Style(concatenation=how))
    assert len(pieces) == sized.segments
    for piece in pieces:
        assert room(piece) >= 0


@given(ANY)
def test_with_16_bits_each_segment_fits_too(text: str) -> None:
    _, pieces = cut(text, Style(concatenation=Concatenation.UDH16))
    for piece in pieces:
        assert room(piece) >= 0


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("x" * 152 * 3, [152, 152, 152]), ("x" * (152 * 2 + 1), [152, 152, 1]), ("x" * 151 + "€" + "x" * 9, [151, 11]),
        ("x" * 150 + "€" + "x" * 9, [152, 9]), ("ż" * 66 * 2, [132, 132]), ("ż" * 65 + "😀" + "ż" * 65, [130, 132, 2]),
    ],
)  # fmt: skip
def test_with_16_bits_each_segment_is_filled(text: str, sizes: list[int]) -> None:
    _, pieces = cut(text, Style(concatenation=Concatenation.UDH16))
    assert [len(piece.octets) - 7 for piece in pieces] == sizes


def room(piece: Piece) -> int:
    """Bits that are left of the 140 octets that go through the air (3GPP TS 23.040, 9.2.3.24)."""
    header = 1 + piece.octets[0] if piece.esm_class & 0x40 else 0
    header += 6 if Tlv.SAR_REF in piece.tlvs else 0
    rest = len(piece.octets) - (header if piece.esm_class & 0x40 else 0)
    if piece.data_coding == 8:
        return 140 * 8 - header * 8 - rest * 8
    return 140 * 8 - -(-header * 8 // 7) * 7 - rest * 7


@pytest.mark.parametrize(("how", "mark"), [("udh8", b"\x05\x00\x03\xa5"), ("udh16", b"\x06\x08\x04\x12\xa5")])
def test_headers(how: str, mark: bytes) -> None:
    _, pieces = cut("x" * 400, Style(concatenation=Concatenation(how)), 0x12A5 if how == "udh16" else 0xA5)
    for at, piece in enumerate(pieces, 1):
        assert piece.octets.startswith(mark + bytes((3, at)))
        assert piece.esm_class == 0x40


def test_any_reference_and_number_has_its_octets() -> None:
    for reference in (0, 0x80, 0xFF, 0x8000, 0xFFFF):
        _, pieces = cut("x" * 152 * 200, Style(concatenation=Concatenation.UDH16), reference)
        assert pieces[-1].octets[:7] == bytes((6, 8, 4, reference >> 8, reference & 0xFF, 200, 200))
    for reference in (0, 0x80, 0xFF):
        _, pieces = cut("x" * 152 * 200, Style(concatenation=Concatenation.SAR), reference)
        assert pieces[-1].tlvs[Tlv.SAR_REF] == bytes((0, reference))
    assert {how: concatenation.width(how) for how in (Concatenation.UDH8, Concatenation.UDH16, Concatenation.SAR)} == {
        Concatenation.UDH8: 8, Concatenation.UDH16: 16, Concatenation.SAR: 8,
    }  # fmt: skip


def test_the_coding_that_an_smsc_wants_is_for_all_but_ucs2() -> None:
    for how in Concatenation:
        for text, coding in (("x", 0xF1), ("x" * 400, 0xF1), ("ż", 8), ("ż" * 400, 8)):
            _, pieces = cut(text, Style(concatenation=how, data_coding=0xF1))
            assert {piece.data_coding for piece in pieces} == {coding}
    assert cut("x", Style(data_coding=0))[1][0].data_coding == 0
    assert cut("x", Style(alphabet=Alphabet.LATIN1, data_coding=0))[1][0].data_coding == 0


def test_a_payload_is_the_whole_text_and_nothing_else() -> None:
    for text, size in (("x" * 161, 161), ("ż" * 30_000, 60_000), ("x" * 60_000, 60_000)):
        (piece,) = cut(text, Style(concatenation=Concatenation.PAYLOAD))[1]
        assert (piece.octets, list(piece.tlvs), len(piece.tlvs[Tlv.PAYLOAD])) == (b"", [Tlv.PAYLOAD], size)
    with pytest.raises(concatenation.TooLong, match="60001 octets; one PDU takes 60000"):
        cut("x" * 60_001, Style(concatenation=Concatenation.PAYLOAD))


def test_half_a_pair_is_a_question_mark() -> None:
    for text in ("\ud83d", "ż\ude00", "€\ud83d" * 100):
        pieces = concatenation.pieces(text, Encoding.UCS2, Style(), lambda: 1)
        assert read(pieces) == text.replace("\ud83d", "?").replace("\ude00", "?")


def test_sar_parameters() -> None:
    _, pieces = cut("x" * 400, Style(concatenation=Concatenation.SAR))
    assert [dict(piece.tlvs) for piece in pieces] == [
        {Tlv.SAR_REF: b"\x00\xa5", Tlv.SAR_TOTAL: b"\x03", Tlv.SAR_NUMBER: bytes((at,))} for at in (1, 2, 3)
    ]
    assert {piece.esm_class for piece in pieces} == {0}


@pytest.mark.parametrize("how", Concatenation)
def test_a_short_text_has_no_marks_and_takes_no_reference(how: Concatenation) -> None:
    def never() -> int:
        raise AssertionError

    for text, size in (("x" * 160, 160), ("ż" * 70, 140)):
        (piece,) = concatenation.pieces(text, segments.measure(text).encoding, Style(concatenation=how), never)
        assert (len(piece.octets), piece.esm_class, dict(piece.tlvs)) == (size, 0, {})


def test_as_many_segments_as_there_can_be() -> None:
    _, pieces = cut("x" * 153 * 255, Style())
    assert len(pieces) == 255
    with pytest.raises(concatenation.TooLong, match="256 segments; there can be 255"):
        cut("x" * (153 * 255 + 1), Style())
    with pytest.raises(concatenation.TooLong):
        cut("ż" * 30_001, Style(concatenation=Concatenation.PAYLOAD))


def test_our_table_is_the_one_of_the_segments_and_of_smsutil() -> None:
    for char in LETTERS:
        assert concatenation.gsm7(char) == char.encode("gsm0338")
        assert len(concatenation.gsm7(char)) == segments.units(char, message.Encoding.GSM7)
    for char in ("\x1b", "`", "ż", "\udcff", "😀"):
        with pytest.raises(UnicodeError):
            concatenation.gsm7(char)


@given(st.text(st.characters(), max_size=300), st.sampled_from(Encoding))
def test_any_text_under_any_name_becomes_pieces(text: str, encoding: Encoding) -> None:
    pieces = concatenation.pieces(text, encoding, Style(), lambda: 1)
    assert read(pieces) == text.encode("utf-16-be", "replace").decode("utf-16-be")


def test_references_of_one_recipient_come_again_after_all_others_only() -> None:
    references = concatenation.References(8)
    drawn = [references.next("1") for _ in range(512)]
    assert sorted(drawn[:256]) == list(range(256))
    assert drawn[:256] == drawn[256:]
    assert len({concatenation.References(16).next("1") for _ in range(20)}) > 1


def test_references_remember_many_recipients_not_all() -> None:
    references = concatenation.References(16)
    first = references.next("0")
    for number in range(1, 10_000):
        references.next(str(number))
    assert references.next("0") == (first + 1) % 65536
    for number in range(10_000, 20_001):
        references.next(str(number))
    assert len(references._last) == 10_000
    assert "0" not in references._last
