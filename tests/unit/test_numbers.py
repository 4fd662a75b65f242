"""Numbers in the dress of a trunk, withheld callers, and what a log shows of a number."""

import re

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agi_sms import errors, numbers

F, Kind = numbers.NumberFormat, numbers.Kind
PL, DE, US = (numbers.Rules(region=region) for region in ("PL", "DE", "US"))


def e164(raw: str, rules: numbers.Rules = PL) -> str:
    return numbers.read(raw, rules).e164


def fault(raw: str, rules: numbers.Rules = PL) -> str:
    with pytest.raises(errors.NumberError) as caught:
        numbers.read(raw, rules)
    return str(caught.value)


# --- reading --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        "+48221131415",
        "0048221131415",
        "48221131415",
        "221131415",
        "0221131415",  # the trunk prefix that Poland gave up
        " +48 22 113 14 15 ",
        "tel:+48-22-113-14-15",
        "TEL: (+48) 22.113-14/15",
        "+48\u00a022\u202f113\u201114\u201315",
    ],
)
def test_one_number_in_many_dresses(raw: str) -> None:
    assert numbers.read(raw, PL) == numbers.Number(e164="+48221131415", kind=Kind.LANDLINE, region="PL")


@pytest.mark.parametrize(
    ("raw", "rules", "expected"),
    [
        ("0500600700", PL, "+48500600700"),
        ("4915112345678", PL, "+4915112345678"),  # works as an international number only
        ("4915112345678", DE, "+4915112345678"),  # +49 4915 112345678 is valid too, but would have been dialled 0...
        ("04915112345678", DE, "+494915112345678"),  # ... like this
        ("015112345678", DE, "+4915112345678"),
        ("15112345678", DE, "+4915112345678"),
        ("2125551234", US, "+12125551234"),
        ("12125551234", US, "+12125551234"),
        ("01148221131415", US, "+48221131415"),  # the region's own international prefix
        ("0048221131415", US, "+48221131415"),
        ("0015 48 22 113 14 15", numbers.Rules(region="BR"), "+48221131415"),  # with a carrier code
        ("447911123456", numbers.Rules(region="GB"), "+447911123456"),
        ("393471234567", numbers.Rules(region="IT"), "+393471234567"),
        ("0612345678", numbers.Rules(region="IT"), "+390612345678"),  # the zero is part of the number there
    ],
)
def test_auto(raw: str, rules: numbers.Rules, expected: str) -> None:
    assert e164(raw, rules) == expected


@pytest.mark.parametrize("raw", ["4315112345", "16022345678"])
def test_auto_refuses_to_guess_between_two_countries(raw: str) -> None:
    said = fault(raw, DE)
    assert "ambiguous" in said
    assert f"+49{raw}" in said
    assert f"+{raw}" in said
    assert "number_format" in said


def test_formats() -> None:
    strict = numbers.Rules(number_format=F.E164)
    assert e164("+48221131415", strict) == e164("0048221131415", strict) == "+48221131415"
    assert "neither + nor 00" in fault("48221131415", strict)

    for region in ("PL", "DE", "US"):
        plain = numbers.Rules(number_format=F.E164_NO_PLUS, region=region)
        assert e164("4915112345678", plain) == "+4915112345678"
        assert e164("+4915112345678", plain) == e164("004915112345678", plain) == "+4915112345678"
        assert "no country code" in fault("0221131415", plain)

    national = numbers.Rules(number_format=F.NATIONAL, region="DE")
    assert e164("4315112345", national) == "+494315112345"
    assert e164("+4315112345", national) == e164("004315112345", national) == "+4315112345"
    assert "PL" in fault("4915112345678", numbers.Rules(number_format=F.NATIONAL))


def test_strip_and_prefix() -> None:
    rules = numbers.Rules(strip=("9991#", "999"), prefix="+48")
    assert e164("9991#221131415", rules) == "+48221131415"
    assert e164("999221131415", rules) == "+48221131415"
    assert e164("221131415", rules) == "+48221131415"
    assert e164("+4915112345678", rules) == "+4915112345678", "a prefix before a plus could only spoil it"
    assert e164("00221131415", numbers.Rules(strip=("00", "0"), number_format=F.NATIONAL)) == "+48221131415"
    assert e164("221131415", numbers.Rules(strip=("", "5"))) == "+48221131415"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("+48601234567", Kind.MOBILE),
        ("+48221131415", Kind.LANDLINE),
        ("+12125551234", Kind.EITHER),
        ("+48800123456", Kind.OTHER),
        ("+883510000000094", Kind.OTHER),
    ],
)
def test_kinds(raw: str, kind: numbers.Kind) -> None:
    assert numbers.read(raw, PL).kind is kind


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("12", "'12' is too short for a number in PL"),
        ("1", "'1' is too short for a phone number"),
        ("+48", "'+48' is too short for a phone number"),
        ("+48221131415000", "'+48221131415000' is too long for a number in PL"),
        ("+999123456789", "'+999123456789' begins with no country code that exists"),
        ("", "'' is empty: not a phone number"),
        ("+", "'+' is not a phone number: there is no digit in it"),
        ("anonymous", "'anonymous' is not a phone number: 'a' is not a digit"),
        ("0800FLOWERS", "'0800FLOWERS' is not a phone number: 'F' is not a digit"),
        ("+48221131415;ext=7", "'+48221131415;ext=7' is not a phone number: ';' is not a digit"),
        ("22113141x5", "'22113141x5' is not a phone number: 'x' is not a digit"),
        ("+48 22+1131415", "'+48 22+1131415' is not a phone number: '+' is not a digit"),
        ("٤٨٢٢١١٣١٤١٥", "'٤٨٢٢١١٣١٤١٥' is not a phone number: '٤' is not a digit"),
        ("22113\x001415", "'22113\\x001415' is not a phone number: '\\x00' is not a digit"),
    ],
)
def test_says_why_it_is_none(raw: str, said: str) -> None:
    assert fault(raw) == said


@pytest.mark.parametrize(
    ("raw", "rules", "said"),
    [
        ("48221131415", numbers.Rules(number_format=F.E164),
         "'48221131415' has neither + nor 00 in front; write it in international format, "
         f"as in +48221131415{numbers.OR_TRUNK}"),
        ("600100200", numbers.Rules(number_format=F.E164),
         "'600100200' has neither + nor 00 in front; write it in international format, "
         f"as in +48600100200{numbers.OR_TRUNK}"),
        ("77", numbers.Rules(number_format=F.E164),
         "'77' has neither + nor 00 in front; write it in international format, "
         f"as in +48221131415{numbers.OR_TRUNK}"),
        ("004812", PL, "'004812' is too short for a number in PL"),
        ("00", PL, "'00' is too short for a phone number"),
        ("000", PL, "'000' is too short for a phone number"),
        ("00999123456789", PL, "'00999123456789' begins with no country code that exists"),
        ("00491", DE, "'00491' is too short for a phone number"),
        ("4812", numbers.Rules(number_format=F.E164_NO_PLUS), "'4812' is too short for a number in PL"),
        ("1212", numbers.Rules(number_format=F.NATIONAL), "'1212' is too short for a number in PL"),
        ("+8835", PL, "'+8835' is too short for a phone number"),
        ("+88351000000009412", PL, "'+88351000000009412' is too long for a number under +883"),
        ("+" + "1" * 20, PL, f"'+{'1' * 20}' is too long for a phone number"),
        ("1" * 41, PL, f"'{'1' * 40}'... has more than 40 characters: no phone number"),
    ],
)  # fmt: skip
def test_says_why_it_is_none_in_every_dress(raw: str, rules: numbers.Rules, said: str) -> None:
    assert fault(raw, rules) == said


def test_as_long_as_it_may_be() -> None:
    assert e164("+48" + " " * 28 + "221131415") == "+48221131415"
    assert numbers.region("+48" + " " * 28 + "221131415") == "PL"
    assert numbers.region("+48" + " " * 29 + "221131415") == ""


def test_as_somebody_in_the_region_wrote_it() -> None:
    assert numbers.international("221131415", "PL") == "+48221131415"
    assert numbers.international("015112345678", "DE") == "+4915112345678"
    assert numbers.international("4915112345678", "PL") == "+4915112345678"
    assert numbers.international("nobody", "PL") == ""


def test_what_a_phone_can_key() -> None:
    assert numbers.keyed("+48 (22) 113-14-15x*9#") == "+48221131415*9#"
    assert numbers.keyed("") == ""


def test_a_range_that_is_not_in_use_is_refused_and_the_data_named() -> None:
    said = fault("+48991234567")
    assert "range is not in use" in said
    assert phonenumbers.__version__ in said


def test_hostile_length_is_refused_before_anybody_reads_it() -> None:
    before = numbers._read.cache_info()
    assert "more than 40 characters" in fault("1" * 1_000_000)
    assert len(fault("1" * 1_000_000)) < 200
    assert numbers._read.cache_info() == before
    assert before.maxsize


def test_a_region_must_exist() -> None:
    for region in ("", "pl", "XX", "Poland", "48"):
        with pytest.raises(errors.NumberError, match="region"):
            numbers.Rules(region=region)


rules_of_all_sorts = st.builds(
    numbers.Rules,
    number_format=st.sampled_from(F),
    region=st.sampled_from(["PL", "DE", "US", "IT", "BR", "GB", "NO"]),
    strip=st.sampled_from([(), ("0",), ("9", "00")]),
    prefix=st.sampled_from(["", "+", "+48", "0", "x"]),
)
like_numbers = st.text(st.sampled_from("0123456789+ -().tel:x;#*٤"), max_size=45) | st.from_regex(
    r"(\+|00|0)?(48|49|1|39)?[0-9]{5,11}", fullmatch=True
)


@given(like_numbers | st.text(max_size=60), rules_of_all_sorts)
def test_only_valid_numbers_come_out(raw: str, rules: numbers.Rules) -> None:
    try:
        found = numbers.read(raw, rules)
    except errors.NumberError:
        return
    parsed = phonenumbers.parse(found.e164, None)
    assert phonenumbers.is_valid_number(parsed)
    assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == found.e164
    assert re.fullmatch(r"\+[1-9][0-9]{5,14}", found.e164)
    assert e164(found.e164, rules) == found.e164 or rules.strip, "what came out reads as itself"


def test_shown_for_people() -> None:
    assert numbers.shown("+48221131415") == "+48 22 113 14 15"
    for other in ("", "anonymous", "221131415", "+", "+1" * 30, "+48 22", "+999"):
        assert numbers.shown(other) == other


# --- withheld -------------------------------------------------------------------------------------------------

ALLOWED = ("allowed", "allowed_not_screened", "allowed_passed_screen", "allowed_failed_screen")
REFUSED = ("prohib", "prohib_not_screened", "prohib_passed_screen", "prohib_failed_screen", "unavailable")


@pytest.mark.parametrize("presentation", [*ALLOWED, "Allowed", " ALLOWED_PASSED_SCREEN "])
def test_presentation_allowed(presentation: str) -> None:
    assert not numbers.withheld("+48601234567", presentation)
    for nobody in ("", " ", "anonymous", "Anonymous", "UNKNOWN", "restricted", "private", "Withheld", "unavailable"):
        assert numbers.withheld(nobody, presentation)
    for nobody in ("<anonymous>", '"Anonymous"', "sip:anonymous@anonymous.invalid", "<unknown>", "266696687"):
        assert numbers.withheld(nobody, presentation)
    for scheme in ("sip:", "SIPS:", "tel:", "<sips:", "'Tel:"):
        assert numbers.withheld(f"{scheme}anonymous", presentation)
        assert numbers.withheld(f"{scheme}anonymous@anonymous.invalid>", presentation)
        assert not numbers.withheld(f"{scheme}+48601234567", presentation)
    for nobody in ("\tanonymous\r\n", "\0anonymous", "asterisk", "null", "unknown@unknown.invalid", "00266696687"):
        assert numbers.withheld(nobody, presentation)


@pytest.mark.parametrize(
    "presentation", [*REFUSED, "", " ", "PROHIB", "allowedly", "yes", "0", "${CALLERID(num-pres)}"]
)
def test_anything_else_is_withheld(presentation: str) -> None:
    assert numbers.withheld("+48601234567", presentation)


@given(st.text(), st.text())
def test_presentation_fails_closed(number: str, presentation: str) -> None:
    if presentation.strip().lower() not in ALLOWED:
        assert numbers.withheld(number, presentation)


# --- masking --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+48221131415", "+48•••••415"),
        ("0048221131415", "0048•••••415"),
        ("+48 (22) 113-14-15", "+48•••••415"),
        ("+19005550100", "+1•••••100"),
        ("+3541234567", "+354•••••567"),
        ("221131415", "•••••415"),
        ("+298123456", "+298•••••"),  # three digits more could be tried out
        ("100", "•••••"),
        ("(+48) 221131415", "(+48•••••415"),
        ("00482211314", "0048•••••314"),
        ("0048221131", "0048•••••"),
        ("1234567", "•••••567"),
        ("123456", "•••••"),
        ("+991234567", "•••••567"),  # 991 is no country code
        ("00991234567", "•••••567"),
        ("+48123456", "+48•••••"),
        ("+48•••••415", "+48•••••415"),
        ("alice", "alice"),
        ("x,recipients=+19005550100", "x,recipients=+1•••••100"),
        ("٤٨٢٢١١٣١٤١٥", "•••••٤١٥"),
        ("", ""),
    ],
)
def test_mask(number: str, masked: str) -> None:
    assert numbers.mask(number) == masked


@given(st.text(st.sampled_from("0123456789+ -().a٤")) | st.text())
@example("+48221131415 +48221131416")
def test_mask_shows_at_most_a_country_code_and_three_digits(text: str) -> None:
    masked = numbers.mask(text)
    for run in re.split("[^•+0-9]", masked):
        before, _, after = run.rpartition("•")
        assert sum(c.isdigit() for c in after) <= 3
        assert sum(c.isdigit() for c in before) <= (5 + 3) * max(1, run.count("•") // 5)
    if text.strip().isdecimal() and not text.strip().startswith("00"):
        assert sum(c.isdigit() for c in masked) <= 3


@pytest.mark.parametrize(
    "text",
    [
        "asterisk -rx 'database del agi-sms 1795436580.17-1795436580000146-901010203'",
        "pbx-1795436580.17-1795436580000146-901010203",
        "call 1732333.12 and sys-1732333444.12 of pbx/1732333444.1234",
        "visit 0193aa11-1234-4321-9999-123456789012",
        "message 01kmabcd12345678 is held",
        "at 2026-11-23T04:24:05.123456+00:00, 2026-11-23 14:05:00 or 2026-11-23",
        "ws://127.0.0.1:15088/ari 192.168.100.200:5060",
        "code 123456 after 1500 ms at line 1234",
        "PJSIP/acme-0000001f",
        "sha d41d8cd98f00b204e9800998ecf8427e",
        "",
    ],
)
def test_mask_all_leaves_what_is_no_number(text: str) -> None:
    assert numbers.mask_all(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to +48 22 113 14 15, then", "to +48•••••415, then"),
        ("Local/602345678@from-internal-0000001f;1", "Local/•••••678@from-internal-0000001f;1"),
        ("sip:+48602345678@10.0.0.1:5060", "sip:+48•••••678@10.0.0.1:5060"),
        ("PJSIP/48602345678-0000001f", "PJSIP/•••••678-0000001f"),
        ("1732333444.12 called 0048602345678", "1732333444.12 called 0048•••••678"),
        ("2026-11-23 602345678", "2026-11-23 •••••678"),
        ("x602345678y", "x•••••678y"),
        ("+1732333444.12", "+1•••••412"),
        ("(22) 113-14-15", "•••••415"),
    ],
)
def test_mask_all_hides_numbers(text: str, masked: str) -> None:
    assert numbers.mask_all(text) == masked


@given(st.from_regex(r"\+?[2-9][0-9]{8,13}", fullmatch=True), st.sampled_from(["", " ", "=", "/", '"', "x", "tel:"]))
def test_mask_all_hides_every_plain_number(number: str, before: str) -> None:
    masked = numbers.mask_all(f"{before}{number}{before}")
    assert number.lstrip("+") not in masked
    assert len(re.findall(r"\d", masked)) <= 6
    assert numbers.mask_all(masked) == masked
