"""10,000 texts: `segments`, `smsutil` (PyPI) and `sms-segments-calculator` (npm) must agree on each of them."""

import random

import pytest
import smsutil

from agi_sms import message, segments
from rig import npm

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(900)]  # the first one may have to build the image

SEED = 20261123
COUNT = 10_000
GSM7, UCS2 = message.Encoding.GSM7, message.Encoding.UCS2
NAMES = {GSM7: ("gsm0338", "GSM-7"), UCS2: ("utf_16_be", "UCS-2")}
# 3GPP TS 23.040, 9.2.3.24.1: units alone, and in a segment of several
ALONE, CHAINED = {GSM7: 160, UCS2: 70}, {GSM7: 153, UCS2: 67}

PLAIN = "".join(c for c in smsutil.codecs.GSM_BASIC_CHARSET if c not in "\r\x1b")
PAIRS = "".join(c for c in smsutil.codecs.GSM_EXT_CHARSET if c != "\f")  # two septets each
WIDE = "ąęłżśćńźŁŻ中文жщ“”…–"
ASTRAL = "😀👍🎉𝒳𐍈"  # two UTF-16 units each
# What a reader sees as one character, and no alphabet of TS 23.038 does: grapheme clusters
CLUSTERS = ["👩‍👩‍👧", "👍🏽", "🇵🇱", "☎️", "x̌", "1️⃣"]


def generated(rng: random.Random, *, clusters: bool = False) -> str:
    """One text: of any length, or one whose characters of two units fall on a seam."""
    ucs2 = clusters or rng.random() < 0.5
    odd = (list(ASTRAL) + CLUSTERS * clusters) if ucs2 else list(PAIRS)
    common = PLAIN + PAIRS + WIDE if ucs2 else PLAIN
    encoding = UCS2 if ucs2 else GSM7
    alone, chained = ALONE[encoding], CHAINED[encoding]
    # few long ones: the time that sms-segments-calculator takes grows with the square of the length
    last = rng.choices((1, 2, 3), (75, 20, 5))[0]
    if rng.random() < 0.2:
        length = rng.randrange(1, last * chained)
        return "".join(rng.choice(odd) if rng.random() < 0.1 else rng.choice(common) for _ in range(length))
    text = rng.choice(WIDE) if ucs2 else ""
    fill = rng.choice(PLAIN.replace("\n", "") + (WIDE if ucs2 else ""))
    for seam in sorted({rng.choice((alone, chained)), rng.randint(1, last) * chained, last * chained}):
        near = seam + rng.randrange(-3, 3)
        text += fill * (near - segments.units(text, encoding))
        text += "".join(rng.choice(odd) for _ in range(rng.randrange(0, 4)))
    return text + fill * rng.randrange(0, 12)


@pytest.fixture(scope="module")
def measured() -> list[segments.Sized]:
    """By us: every length around every boundary, then random texts."""
    rng = random.Random(SEED)
    exact = [
        fill * (length - 2 * len(last)) + last
        for fill, last, lengths in (
            ("a", "", (1, 152, 153, 154, 159, 160, 161, 306, 307, 459, 460)),
            ("a", "€", (152, 153, 154, 159, 160, 161, 306, 307, 308)),
            ("ą", "", (1, 66, 67, 68, 69, 70, 71, 134, 135, 201, 202)),
            ("ą", "😀", (66, 67, 68, 69, 70, 71, 134, 135, 136)),
        )
        for length in lengths
    ]
    return [segments.measure(text) for text in exact + [generated(rng) for _ in range(COUNT - len(exact))]]


def test_the_texts_are_near_the_boundaries(measured: list[segments.Sized]) -> None:
    """So that what follows says something: every seam is met from both sides, and by pairs that do not fit."""
    assert len(measured) == COUNT
    for encoding in (GSM7, UCS2):
        some = [sized for sized in measured if sized.encoding is encoding]
        assert len(some) > COUNT / 3
        for seam in (ALONE[encoding], CHAINED[encoding] * 2, CHAINED[encoding] * 3):
            assert {seam - 1, seam, seam + 1} <= {sized.units for sized in some}
        firsts = [segments.split(sized.text, encoding)[0] for sized in some if sized.segments > 1]
        early = [first for first in firsts if segments.units(first, encoding) == CHAINED[encoding] - 1]
        assert len(early) > COUNT / 100, "a pair would not have fitted"


def test_three_counters_agree(measured: list[segments.Sized]) -> None:
    for ours, other in zip(measured, npm.segments([sized.text for sized in measured]), strict=True):
        theirs = smsutil.split(ours.text)
        pieces = segments.split(ours.text, ours.encoding)
        assert (theirs.encoding, other.encoding) == NAMES[ours.encoding], ours
        assert ours.segments == len(theirs.parts) == other.segments, ours
        assert pieces == [part.content for part in theirs.parts] == list(other.pieces), ours
        assert ours.units == other.units == theirs.total_bytes // (1 if ours.encoding is GSM7 else 2), ours


def test_grapheme_clusters_are_cut_where_the_segment_is_full() -> None:
    """sms-segments-calculator moves a whole cluster to the next segment; smsutil and we fill the segment first.

    The latter is right by TS 23.040, 9.2.3.24.1: segments are put together before anything is shown, and what is not
    to be cut is a character of the alphabet (in GSM-7 with its escape, in UCS-2 a surrogate pair), not what TS 23.038
    has no word for. So the npm package counts a segment too many at times, never one too few.
    """
    rng = random.Random(SEED)
    family = CLUSTERS[0]
    assert segments.units(family, UCS2) == 8
    known = [family * 16 + "ą" * 6, family * 16 + "ą" * 7]  # 134 units, 135
    texts = known + [segments.clean(generated(rng, clusters=True)) for _ in range(1000)]
    others = npm.segments(texts)
    assert [segments.measure(text).segments for text in known] == [2, 3]
    assert [other.segments for other in others[:2]] == [3, 3]
    for text, other in zip(texts, others, strict=True):
        ours = segments.measure(text)
        assert segments.split(text, ours.encoding) == [part.content for part in smsutil.split(text).parts]
        assert (other.encoding, other.units) == (NAMES[ours.encoding][1], ours.units)
        assert "".join(other.pieces) == text
        assert other.segments >= ours.segments
