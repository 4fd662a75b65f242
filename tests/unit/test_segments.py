"""Encodings and segments, against `smsutil` as an independent oracle and 3GPP TS 23.038 and 23.040 as the law."""

import smsutil
from hypothesis import example, given
from hypothesis import strategies as st

from agi_sms import message, segments

GSM7, UCS2 = message.Encoding.GSM7, message.Encoding.UCS2
MOST = {GSM7: (160, 153), UCS2: (70, 67)}

plain = "".join(c for c in smsutil.codecs.GSM_BASIC_CHARSET if c not in "\r\x1b")
pairs = "".join(c for c in smsutil.codecs.GSM_EXT_CHARSET if c != "\f")
wide = "ąęłż中😀👍𝒳"
short = st.text(st.sampled_from(plain + pairs + wide))
# long texts, made of few characters, so that pairs fall on every boundary
gsm_long = st.builds(
    lambda fill, tail: fill + tail,
    st.integers(140, 170).map(lambda n: "a" * n) | st.integers(295, 320).map(lambda n: "a" * n),
    st.text(st.sampled_from(plain + pairs), max_size=30),
)
ucs_long = st.builds(
    lambda fill, tail: fill + "ą" + tail,
    st.integers(55, 72).map(lambda n: "a" * n) | st.integers(120, 140).map(lambda n: "a" * n),
    st.text(st.sampled_from("a€^" + wide), max_size=30),
)
texts = short | gsm_long | ucs_long | st.text(st.sampled_from(plain + pairs + wide), max_size=400)
anything = st.text(st.characters(codec=None), max_size=300) | st.text(st.sampled_from("a\r\n\x00\x1b\ud800\udc00😀"))


@given(texts)
@example("a" * 160)
@example("a" * 161)
@example("a" * 159 + "€")
@example("a" * 152 + "€" + "a" * 20)  # the pair does not fit into the first 153 and goes into the second whole
@example("a" * 152 + "€" * 77)
@example("ą" * 70)
@example("ą" * 71)
@example("ą" * 66 + "😀" + "ą" * 10)  # a surrogate pair at unit 67
@example("ą" * 69 + "😀")
def test_agrees_with_smsutil(text: str) -> None:
    """Both keep ESC pairs and surrogate pairs whole, as TS 23.040 9.2.3.24.1 wants it, so both are right.

    They differ on the empty text alone, which smsutil calls UCS-2: nothing in it is outside the alphabet of
    TS 23.038, so it is GSM-7. (smsutil also takes a bare ESC for text; cleaning removes it before.)
    """
    sized = segments.measure(text)
    oracle = smsutil.split(sized.text)
    assert sized.segments == len(oracle.parts)
    assert segments.split(sized.text, sized.encoding) == [part.content for part in oracle.parts]
    if sized.text:
        assert sized.encoding is (GSM7 if oracle.encoding == "gsm0338" else UCS2)
        assert sized.units == oracle.total_bytes // (1 if sized.encoding is GSM7 else 2)


@given(anything)
def test_every_text_can_be_measured(text: str) -> None:
    for transliterate in (False, True):
        sized = segments.measure(text, transliterate=transliterate)
        pieces = segments.split(sized.text, sized.encoding)
        alone, chained = MOST[sized.encoding]
        assert "".join(pieces) == sized.text
        assert len(pieces) == sized.segments
        assert all(segments.units(piece, sized.encoding) <= (chained if pieces[1:] else alone) for piece in pieces)
        assert 0 <= sized.left < (chained if pieces[1:] else alone + 1)
        octets = sized.text.encode("utf-16-be")  # raises where half a surrogate pair is left
        if sized.encoding is UCS2:
            assert len(octets) == 2 * sized.units
        else:
            assert len(smsutil.encode(sized.text)) >= len(sized.text) or not sized.text
        assert not set(sized.text) & {"\x00", "\x1b", "\r", "\t"}
        assert not transliterate or sized.encoding is GSM7
        assert segments.measure(sized.text) == sized, "measuring twice changes nothing"


@given(anything)
def test_explain_names_what_forces_ucs2_and_nothing_else(text: str) -> None:
    named = segments.explain(text)
    assert bool(named) == (segments.measure(text).encoding is UCS2)
    assert len(set(named)) == len(named)


@given(st.text(st.sampled_from(plain + pairs)))
def test_what_gsm7_has_is_never_transliterated(text: str) -> None:
    assert segments.measure(text, transliterate=True) == segments.measure(text)
    assert segments.measure(text).text == text


def test_the_whole_alphabet() -> None:
    """TS 23.038 6.2.1: 128 with ESC, and 10 in the extension table."""
    assert len(segments._BASIC) == 127
    assert len(segments._EXTENDED) == 10
    assert segments.units(pairs, GSM7) == 2 * len(pairs) == 18
    assert segments.units("\f", GSM7) == 2
    assert [segments.units(c, UCS2) for c in ("\uffff", "\U00010000")] == [1, 2]


def test_boundaries() -> None:
    counts = {n: segments.measure("a" * n).segments for n in (0, 1, 160, 161, 306, 307)}
    assert counts == {0: 1, 1: 1, 160: 1, 161: 2, 306: 2, 307: 3}
    counts = {n: segments.measure("ł" * n).segments for n in (1, 70, 71, 134, 135)}
    assert counts == {1: 1, 70: 1, 71: 2, 134: 2, 135: 3}
    assert segments.measure("€" * 80).segments == 1
    assert segments.measure("€" * 81).segments == 2
    assert segments.measure("a" * 150).left == 10
    assert segments.measure("a" * 161).left == 145


def test_transliterates_only_what_gsm7_lacks() -> None:
    def spelled(text: str) -> str:
        return segments.measure(text, transliterate=True).text

    assert spelled("Zażółć gęślą jaźń") == "Zazolc gesla jazn"
    assert spelled("é à ñ ö Δ Ω € ł") == "é à ñ ö Δ Ω € l"
    assert spelled("“q” … – `x`\u00a0y") == "\"q\" ... - 'x' y"
    assert spelled("Thanks 👍 a lot ❤️") == "Thanks a lot "
    assert spelled("北京") == "BeiJing"
    assert spelled("\ue000") == "?"
    assert spelled("e\u0301") == "é"
    assert spelled("ł1\u20e3\ufe0f") == "l1"  # an enclosing mark, as of keycaps
    assert spelled("ł\u200da\u2060b") == "lab"  # format characters


def test_cleaning() -> None:
    assert segments.clean("a\r\nb\rc\u2028d\x85e\tf") == "a\nb\nc\nd\ne f"
    assert segments.clean("\ufeffa\x00\x07\x1b[31mb\x7f\x9b") == "a[31mb"
    assert segments.clean("\ud83d\ude00 \ud83d") == "😀 ?"
    assert segments.clean("ł" + 40 * "\u0316") == "ł" + 30 * "\u0316"


def test_explain() -> None:
    assert segments.explain("Zażółć żółw") == ["ż", "ó", "ł", "ć"]
    assert segments.explain("a\u200bb\u0301") == ["U+200B", "U+0301"]
    assert segments.explain("a\u20dd") == ["U+20DD"]
    assert segments.explain("plain é €") == []
