"""What goes to a provider is filled in as it is written; what cannot be is refused in words."""

from dataclasses import replace

import jinja2
import pytest

from agi_sms import errors, message
from agi_sms.providers import templates

SAMPLE = replace(templates.SAMPLE, text="a+b ż", ref="r1", segments=2, attempt=3)
SECRET = {"key": "t0k/en"}


def given() -> dict[str, object]:
    return templates.values(SAMPLE, SECRET, "https://h/r")


def asked() -> dict[str, object]:
    return templates.asked(["1", "2"], ["r1"], SECRET)


@pytest.mark.parametrize(
    ("source", "plain", "in_url", "alone"),
    [
        ("", "", "", ""),
        ("a b", "a b", "a b", "a b"),
        ("{{ to }}", "+48600100200", "%2B48600100200", "+48600100200"),
        ("<{{ to }}>", "<+48600100200>", "<%2B48600100200>", "<+48600100200>"),
        (" {{- to -}} ", "+48600100200", "%2B48600100200", "+48600100200"),
        ("{{ to|digits }}", "48600100200", "48600100200", "48600100200"),
        ("{{ to|no_plus }}", "48600100200", "48600100200", "48600100200"),
        ("{{ sender|lower }} {{ sender|upper }}", "acme ACME", "acme ACME", "acme ACME"),
        ("{{ sender_kind }}{{ ref }}{{ node }}", "namer1sample", "namer1sample", "namer1sample"),
        ("{{ segments }}", "2", "2", 2),
        ("{{ attempt }}", "3", "3", 3),
        ("{{ segments }}{{ attempt }}", "23", "23", "23"),
        ("{{ unicode }}", "true", "true", True),
        ("{{ encoding }}", "ucs2", "ucs2", "ucs2"),
        ("{{ 2 if unicode else 0 }}", "2", "2", 2),
        ("{{ 'a' if not unicode }}", "", "", ""),
        ("{{ text }}", "a+b ż", "a%2Bb%20%C5%BC", "a+b ż"),
        ("{{ text|urlencode }}", "a%2Bb%20%C5%BC", "a%252Bb%2520%25C5%25BC", "a%2Bb%20%C5%BC"),
        ("{{ text|utf16hex }}", "0061002B00620020017C", "0061002B00620020017C", "0061002B00620020017C"),
        ("{{ text|replace('+', '-') }}", "a-b ż", "a-b%20%C5%BC", "a-b ż"),
        ("{{ receipt_url }}", "https://h/r", "https%3A%2F%2Fh%2Fr", "https://h/r"),
        ("{{ secret.key }}", "t0k/en", "t0k%2Fen", "t0k/en"),
        ("{{ secret.key|upper }}", "T0K/EN", "T0K%2FEN", "T0K/EN"),
        ("{{ to ~ ref }}", "+48600100200r1", "%2B48600100200r1", "+48600100200r1"),
        ("{{ segments|default(1) }}", "2", "2", 2),
        ("{{ '5'|int }}", "5", "5", 5),
        ("{{ ' x '|trim }}", "x", "x", "x"),
        ("{{ to == '+48600100200' and segments > 1 or unicode }}", "true", "true", True),
        ("{{ none }}", "None", "None", None),
        ("{{ '}}' }}", "}}", "%7D%7D", "}}"),
    ],
)
def test_what_comes_of_a_template(source: str, plain: str, in_url: str, alone: object) -> None:
    assert templates.Template(source).render(given()) == plain
    assert templates.Template(source, in_url=True).render(given()) == in_url
    found = templates.Template(source).value(given())
    assert found == alone
    assert type(found) is type(alone)


@pytest.mark.parametrize(
    ("source", "plain", "in_url"),
    [
        ("", "", ""), ("a b", "a b", "a b"), ("{{ to }}", "+48600100200", "%2B48600100200"),
        ("{{ unicode }}", "true", "true"), ("<{{ to|digits }}{{ segments }}>", "<486001002002>", "<486001002002>"),
        ("{{ secret.key }}{{ secret.key|upper }}", "t0k/enT0K/EN", "t0k%2FenT0K%2FEN"),
        ("{{ text|utf16hex|lower }}", "0061002b00620020017c", "0061002b00620020017c"),
        ("{{ to|no_plus|urlencode }}", "48600100200", "48600100200"),
    ],
)  # fmt: skip
def test_most_are_filled_in_without_jinja(
    source: str, plain: str, in_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made, expected in ((templates.Template(source), plain), (templates.Template(source, in_url=True), in_url)):
        monkeypatch.setattr(made, "_template", None)
        assert made.render(given()) == expected
        if made._value is not None:
            monkeypatch.setattr(made, "_value", "not to be called")
            made.value(given())


@pytest.mark.parametrize(
    "source", ["{{ to|trim }}", "{{ to ~ ref }}", "{{ 'a' if unicode }}", "{{ to|default('x')|lower }}", "a{{ 'b' }}"]
)
def test_the_rest_needs_jinja(source: str) -> None:
    assert templates.Template(source)._pieces is None


def test_true_and_false_as_they_are_written() -> None:
    short = replace(SAMPLE, encoding=message.Encoding.GSM7)
    values = templates.values(short, SECRET)
    for source in ("{{ unicode }}", "{{ unicode|default(1) }}"):
        assert templates.Template(source).render(values) == "false"
        assert templates.Template(source, in_url=True).render(values) == "false"
        assert templates.Template(source).value(values) is False
    assert values["encoding"] == "gsm7"


def test_an_address_may_hold_a_slash_only_where_it_is_written() -> None:
    assert templates.Template("/a/{{ secret.key|trim }}", in_url=True).render(given()) == "/a/t0k%2Fen"


def test_what_is_asked_about_is_a_list_alone_and_joined_elsewhere() -> None:
    assert templates.Template("{{ ids }}").value(asked()) == ["1", "2"]
    assert templates.Template("{{ refs }}").value(asked()) == ["r1"]
    assert templates.Template("<{{ ids }}>").value(asked()) == "<1,2>"
    assert templates.Template("{{ ids }}").render(asked()) == "1,2"
    assert templates.Template("{{ ids }}", in_url=True).render(asked()) == "1%2C2"
    assert templates.Template("{{ secret.key }}").render(asked()) == "t0k/en"


NAMES = (
    "known are to, sender, sender_kind, text, ref, node, segments, encoding, unicode, attempt, receipt_url, "
    "secret.NAME; in polling: ids, refs"
)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ x }}", f"in '{{{{ x }}}}': 'x' is unknown; {NAMES}"),
        ("x" * 60 + "{{ y }}", f"in '{'x' * 59}…': 'y' is unknown; {NAMES}"),
        ("{{ y }}" + "x" * 53, f"in '{{{{ y }}}}{'x' * 53}': 'y' is unknown; {NAMES}"),
        ("{{ y }}" + "x" * 54, f"in '{{{{ y }}}}{'x' * 52}…': 'y' is unknown; {NAMES}"),
        ("{{ to", "in '{{ to': unexpected end of template, expected 'end of print statement'."),
        ("{{ to|foo }}", "in '{{ to|foo }}': No filter named 'foo'."),
        ("{{ secret }}", "in '{{ secret }}': write secret.NAME, with a name from `secret:`"),
        ("{{ to.x }}", "in '{{ to.x }}': only secret.NAME has a dot"),
        ("{{ secret.a.b }}", "in '{{ secret.a.b }}': only secret.NAME has a dot"),
        ("{{ 1+1 }}", "in '{{ 1+1 }}': only values, filters and `A if B else C` are allowed here, no add"),
        ("{% if to %}{% endif %}",
         "in '{% if to %}{% endif %}': only values, filters and `A if B else C` are allowed here, no if"),
        ("{{ to|lower|upper|lower|upper }}",
         "in '{{ to|lower|upper|lower|upper }}': more than 3 filters, one upon the other"),
        ("x" * 8193, f"in '{'x' * 59}…': is longer than 8192 characters"),
        ("{{ " + "(" * 2000 + "to" + ")" * 2000 + " }}", f"in '{{{{ {'(' * 56}…': is nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_no_template(source: str, says: str) -> None:
    with pytest.raises(errors.TextError) as caught:
        templates.Template(source)
    assert str(caught.value) == says
    templates.Template("{{ to|lower|upper|lower }}{{ sender|lower }}" + "x" * 8_000)
    assert templates.Template("x" * 8192).render({}) == "x" * 8192


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ ids }}", "in '{{ ids }}': 'ids' is undefined"),
        ("<{{ ids }}>", "in '<{{ ids }}>': 'ids' is undefined"),
        ("{{ ids|digits }}", "in '{{ ids|digits }}': 'ids' is undefined"),
        ("{{ secret.b }}", "in '{{ secret.b }}': 'types.SimpleNamespace object' has no attribute 'b'"),
        ("<{{ secret.b }}>", "in '<{{ secret.b }}>': 'types.SimpleNamespace object' has no attribute 'b'"),
        ("{{ secret.__dict__ }}",
         "in '{{ secret.__dict__ }}': access to attribute '__dict__' of 'SimpleNamespace' object is unsafe."),
        ("{{ to > 3 }}", "in '{{ to > 3 }}': '>' not supported between instances of 'str' and 'int'"),
    ],
)  # fmt: skip
def test_what_cannot_be_filled_in(source: str, says: str) -> None:
    made = templates.Template(source)
    for fill in (made.render, made.value):
        with pytest.raises(errors.TextError) as caught:
            fill(given())
        assert str(caught.value) == says
    with pytest.raises(errors.TextError):
        templates.Template(source, in_url=True).render(given())


def test_what_a_template_names() -> None:
    made = templates.Template("{{ to }}{{ secret.a if unicode else secret.b_2 }}")
    assert made.secrets == {"a", "b_2"}
    assert made.names == {"to", "unicode", "secret"}
    assert made.source.startswith("{{ to }}")
    assert templates.Template("to").names == frozenset()


def test_filters_take_and_make_so_much_and_no_more() -> None:
    most = templates.LONGEST
    for name in ("digits", "utf16hex", "urlencode"):
        made = templates.Template("{{ text|" + name + " }}")
        made.render({"text": "1" * most})
        with pytest.raises(errors.TextError, match=rf"': a value is longer than {most} characters$"):
            made.render({"text": "1" * (most + 1)})
    made = templates.Template("{{ text|replace('a', 'bb') }}")
    assert len(made.render({"text": "a" + "c" * (most - 3)})) == most - 1
    with pytest.raises(errors.TextError, match=rf": a value would be longer than {most} characters$"):
        made.render({"text": "a" + "c" * (most - 2)})
    assert templates.Template("{{ segments|replace(2, 'x') }}").render(given()) == "x"
    assert templates.Template("{{ segments|replace('2', 7) }}").render(given()) == "7"


def test_an_environment_has_nothing_but_what_is_listed() -> None:
    def finalize(value: object) -> object:
        return value

    made = templates._environment(finalize)
    assert made.filters.keys() == {"default", "int", "lower", "trim", "upper", "replace", "digits", "no_plus"} | {
        "utf16hex", "urlencode",
    }  # fmt: skip
    assert made.globals == {}
    assert made.undefined is jinja2.StrictUndefined
    assert made.autoescape is False
    assert made.keep_trailing_newline is True
    assert made.finalize is finalize
    assert made.filters["digits"]("a1\u06612") == "12"
    assert made.filters["no_plus"]("++1+") == "+1+"
    assert made.filters["utf16hex"]("aż\ud800") == "0061017C003F"
    assert made.filters["urlencode"]("/ ż") == "%2F%20%C5%BC"
    assert made.filters["replace"]("abc", "b", "x") == "axc"


def test_a_line_end_at_the_end_stays() -> None:
    assert templates.Template("{{ ref }}\n").render(given()) == "r1\n"
    assert templates.Template("{{ ref if unicode }}\n").render(given()) == "r1\n"


def test_a_text_with_a_secret_in_it() -> None:
    text = "key {{ secret.key }} {{secret.key}} {{ secret.key|upper }} {{ to }}"
    assert templates.filled(text, SECRET) == "key t0k/en t0k/en {{ secret.key|upper }} {{ to }}"
    assert templates.named("{{ secret.a }}{{secret.B2_}}{{ secret.2 }}") == {"a", "B2_"}
    with pytest.raises(errors.TextError, match=r"^secret\.other is missing$"):
        templates.filled("{{ secret.other }}", SECRET)


def test_half_a_pair_is_a_question_mark() -> None:
    half = "ż\ud800"
    sent = replace(SAMPLE, to=half, sender=half, text=half, ref=half, node=half)
    found = templates.values(sent, {})
    assert {found[name] for name in ("to", "sender", "text", "ref", "node")} == {"ż?"}
    assert templates.values(SAMPLE, {})["receipt_url"] == ""
    assert set(found) == set(templates.NAMES)


@pytest.mark.parametrize(
    ("sender", "kind"),
    [
        ("", ""), ("+4860010", "number"), ("+486001", "name"), ("+" + "1" * 15, "number"), ("+" + "1" * 16, "name"),
        ("123", "short_code"), ("12", "name"), ("12345678", "short_code"), ("123456789", "name"), ("ACME", "name"),
    ],
)  # fmt: skip
def test_what_a_sender_is(sender: str, kind: str) -> None:
    assert templates.sender_kind(sender) == kind
