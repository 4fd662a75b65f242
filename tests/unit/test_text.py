"""Templates, the values they see, and senders."""

import contextlib
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import call, errors, templates, text

WARSAW = ZoneInfo("Europe/Warsaw")


def visit(**facts: object) -> call.Visit:
    known: dict[str, object] = {"pbx": "pbx", "key": "pbx/1.2", "call_id": "1.2"}
    return call.Visit(
        id="v",
        node="taxi",
        entry=call.Entry.ARI,
        arrived_at=datetime(2026, 7, 1, 22, 30, 15, 250, tzinfo=UTC),
        call=call.Call(**(known | facts)),  # type: ignore[arg-type]
    )


def values(**facts: object) -> dict[str, object]:
    return text.values(
        visit(**facts),
        node="taxi",
        description="Taxi desk",
        time_zone=WARSAW,
        caller="+48601234567",
        dialled="+48221131415",
        diverted_from="",
    )


def render(source: str, **facts: object) -> str:
    return text.Template(source, name="t").render(values(**facts))


def fault(source: str, given: dict[str, object] | None = None) -> str:
    """What is said about a template, found when compiling or, with values, when rendering."""
    with pytest.raises(errors.TextError) as caught:
        text.Template(source, name="file.txt").render(values() if given is None else given)
    return str(caught.value)


# --- templates ------------------------------------------------------------------------------------------------


def test_a_text_with_everything_in_it() -> None:
    source = (
        "{{ caller }} {{ caller|phone }} {{ dialled }} {{ diverted_from or '-' }} {{ caller_name }} {{ call_id }} "
        "{{ node }} {{ description }} {{ pbx }} {{ now }} {{ now.strftime('%H:%M') }} {{ ticket }} {{ var.ticket }}"
    )
    assert render(source, caller_name="Jan", variables={"ticket": "A7"}) == (
        "+48601234567 +48 601 234 567 +48221131415 - Jan 1.2 taxi Taxi desk pbx 2026-07-02 00:30 00:30 A7 A7"
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hello\n", "Hello"),
        ("Hello\n\n", "Hello\n"),
        ("a\r\nb\r\n", "a\nb"),
        ("\ufeffa", "a"),
        ("{% if caller_name %}Hi {{ caller_name }}{% else %}Hi{% endif %}\n", "Hi"),
        ("{{ none }}", ""),
        ("{{ caller[3:] }} {{ caller|digits }} {{ caller|replace('+', '00') }}", "601234567 48601234567 0048601234567"),
        ("{% set x = node|upper %}{{ x }}{# c #}", "TAXI"),
        ("{% for part in 'a,b'.split(',') %}{{ loop.index }}{{ part }}{% endfor %}", "1a2b"),
        ("{{ ['b', 'a']|sort|join('-') }} {{ '7'|int + 1 }} {{ 2.345|round(1) }}", "a-b 8 2.3"),
        ("{{ missing|default('x') }} {{ 'y' if missing is defined else 'n' }} {{ var.get('q', 'z') }}", "x n z"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{{ now.year }}-{{ now.hour }} {{ node.upper() }} {{ '%' }}", "2026-0 TAXI %"),
    ],
)
def test_renders(source: str, expected: str) -> None:
    assert render(source) == expected


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a\nb {{ x \nc", "file.txt:3: expected token 'end of print statement'"),
        ("a\n{% if x %}\nb", "file.txt:2: Unexpected end of template"),
        ("a\n{{ caller|centre }}", "file.txt:2: there is no filter 'centre'; there are abs, "),
        ("{% if x is nice %}{% endif %}", "file.txt:1: there is no test 'nice'; there are "),
        ("a\n\n{{ nope }}", "file.txt:3: 'nope' is undefined; known here: call_id, caller, caller_name, "),
        ("\n{{ var.nope }}", "file.txt:2: the dialplan gave no variable 'nope' (given: nothing)"),
        ("\n{{ nope.x }}", "file.txt:2: 'nope' is undefined"),
        ("{{ caller.nope }}", "file.txt:1: there is no 'nope' in a text"),
        ("{{ caller.upper }}", "file.txt:1: upper is no value; did you mean to add ()?"),
        ("\n{{ 1/0 }}", "file.txt:2: division by zero"),
        ("{{ caller > 3 }}", "file.txt:1: '>' not supported"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "file.txt:1: the text is nested too deep"),
        ("x" * 10_001, "file.txt:1: the text has more than 10000 characters"),
    ],
)
def test_mistakes_have_a_line_and_say_what_is_there(source: str, said: str) -> None:
    assert fault(source).startswith(said)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 10**9 }}",
        "{{ 'x' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 9 ** 9 }}",
        "{{ node ** 2 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x'|center(1000000000) }}",
        "{{ 'x'|indent(1000000000) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{0.__class__}'.format(now) }}",
        "{{ ('{:1000000000}'|attr('format'))(1) }}",
        "{{ 'x'.center(1000000000) }}",
        "{{ 'x'['center'](1000000000) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ 'x'.zfill(1000000000) }}",
        "{{ 'x'.encode() }}",
        "{% for i in range(1000000) %}x{% endfor %}",
        "{% for a in caller %}{% for b in caller %}x{% endfor %}{% endfor %}",
        "{% for a in caller %}{% if a %}{% for b in caller %}x{% endfor %}{% endif %}{% endfor %}",
        "{% for a in caller recursive %}{{ loop(a) }}{% endfor %}",
        "{% for a in '" + "x" * 201 + "' %}{% endfor %}",
        "{% set a = caller %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
        "{% set a = [caller] %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
        "{% set a = 10 %}" + "{% set a = a * a %}" * 40 + "{{ a }}",
        "{% set a = 'x' %}" + "{% set a = a|replace('x', 'xxxxxxxxxx') %}" * 10 + "{{ a }}",
        "{% set a = 'x' %}" + "{% set a = a.split('y') + a.split('y') %}{% set a = a|join('zzzz') %}" * 40,
        "{% set a %}x{% endset %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% filter upper %}x{% endfilter %}",
        "{% with a = 1 %}{% endwith %}",
        "{% call caller() %}{% endcall %}",
        "{% autoescape true %}{% endautoescape %}",
        "{{ lipsum(1000) }}",
        "{{ cycler('a') }}",
        "{{ namespace(a=1) }}",
        "{{ self }}",
        "{{ caller.__class__ }}",
        "{{ caller['__class__'] }}",
        "{{ now.__class__.mro() }}",
        "{{ now.strftime.__self__ }}",
        "{{ (now.strftime)|attr('__self__') }}",
        "{{ var.pop('x') }}",
        "{{ var.__init__ }}",
        "{{ caller.split.__globals__ }}",
        "{{ var.items.__self__ }}",
        "{{ loop.cycle('a') }}",
        "{{ 'x'|safe }}",
        "{{ '" + "x" * 9000 + "' }}{{ '" + "x" * 900 + "' ~ caller_name * 2 }}",
        "{{ 'x'|xmlattr }}",
    ],
)
def test_bombs_and_escapes_are_refused(source: str) -> None:
    said = fault(source, values(caller_name="x" * 60))
    assert said.startswith("file.txt:1: ")
    assert "MemoryError" not in said, "a limit has to stop it, not the machine"


MOST = templates.LONGEST_RESULT


@pytest.mark.parametrize(
    ("source", "given", "said"),
    [
        ("{{ x|list }}", {"x": [1]}, "a list is no text; name one of its parts, or join them"),
        ("{{ x }}", {"x": {}}, "a group of fields is no text; name one of its parts, or join them"),
        ("{{ x }}", {"x": (1,)}, "a tuple is no text; name one of its parts, or join them"),
        ("{{ x }}", {"x": {1}}, "a set is no text; name one of its parts, or join them"),
        ("{{ x.lower }}", {"x": "a"}, "lower is no value; did you mean to add ()?"),
        ("{{ x.y }}", {"x": {"b": 1, "a": 2}}, "there is no 'y' in it (there is: a, b)"),
        ("{{ x['y'] }}", {"x": {}}, "there is no 'y' in it (there is: nothing)"),
        ("{{ x.y }}", {"x": {"k" * 70: 1}}, f"there is no 'y' in it (there is: {'k' * 60})"),
        ("{{ x." + "y" * 70 + " }}", {"x": {}}, f"there is no '{'y' * 60}' in it (there is: nothing)"),
        ("{{ x.y }}", {"x": {f"{n:02}": 1 for n in range(30)}},
         f"there is no 'y' in it (there is: {', '.join(f'{n:02}' for n in range(20))})"),
        ("{{ x.y }}", {"x": templates.Variables(b="1", a="2")}, "the dialplan gave no variable 'y' (given: a, b)"),
        ("{{ x." + "y" * 70 + " }}", {"x": templates.Variables()},
         f"the dialplan gave no variable '{'y' * 60}' (given: nothing)"),
        ("{{ x." + "y" * 70 + " }}", {"x": "a"}, f"there is no '{'y' * 60}' in a text"),
        ("{{ x.y }}", {"x": 1}, "there is no 'y' in a number"),
        ("{{ x.y }}", {"x": 1.5}, "there is no 'y' in a number"),
        ("{{ x.y }}", {"x": [1]}, "there is no 'y' in a list"),
        ("{{ x[5] }}", {"x": [1]}, "there is no '5' in a list"),
        ("{{ x[5] }}", {"x": "a"}, "there is no '5' in a text"),
        ("{{ x() }}", {}, "x(...) is not available in texts"),
        ("{{ x.y()() }}", {}, "this(...) is not available in texts"),
        ("{{ x.y() }}", {"x": "a"}, "there is no 'y' in a text"),
        ("{{ x * 'a' }}", {"x": 2}, "* is for numbers only, not for a text"),
        ("{{ 'a' * x }}", {"x": 2}, "* is for numbers only, not for a text"),
        ("{{ x % 2 }}", {"x": [1]}, "% is for numbers only, not for a list"),
        ("{{ x * x }}", {"x": {}}, "* is for numbers only, not for a group of fields"),
        ("{{ x ** 2 }}", {"x": 2}, "** is not available in texts"),
        ("{{ x * 10 }}", {"x": 10**18}, "* makes a number beyond 1e+18"),
        ("{{ x * -10 }}", {"x": 10**18}, "* makes a number beyond 1e+18"),
        ("{{ x + 1 }}", {"x": 10**18}, "+ makes a number beyond 1e+18"),
        ("{{ x + y }}", {"x": "a" * MOST, "y": "b"}, f"a value has more than {MOST} characters"),
        ("{{ x|upper }}", {"x": "a" * (MOST + 1)}, f"a value has more than {MOST} characters"),
        ("{{ x.y }}", {"x": {"y": "a" * (MOST + 1)}}, f"a value has more than {MOST} characters"),
        ("{{ x['y'] }}", {"x": {"y": "a" * (MOST + 1)}}, f"a value has more than {MOST} characters"),
        ("{{ x[0] }}", {"x": ["a" * (MOST + 1)]}, f"a value has more than {MOST} characters"),
        ("{% set y = x ~ x %}", {"x": "a" * MOST}, f"a value has more than {MOST} characters"),
        ("{{ x|join }}", {"x": "a" * 201}, "a loop has more than 200 rounds"),
        ("{% for y in x %}{% endfor %}", {"x": "a" * 201}, "a loop has more than 200 rounds"),
        ("{{ x|join('-') }}", {"x": ["a" * (MOST - 2), "b"]}, f"join makes more than {MOST} characters"),
        ("{{ x|replace('a', 'bb') }}", {"x": "a" + "c" * (MOST - 2)}, f"replace makes more than {MOST} characters"),
        ("{{ x }}", {"y": 1, "z": 2}, "'x' is undefined; known here: y, z"),
        ("{{ x.y }}{{ x }}", {"x": {"y": None}}, "a group of fields is no text; name one of its parts, or join them"),
        ("{% for y in x recursive %}{% endfor %}", {}, "a loop within a loop is not available in texts"),
        ("{{ self }}", {}, "self is not available in texts"),
        ("{{ super }}", {}, "super is not available in texts"),
        ("{% macro m() %}{% endmacro %}", {}, "{% macro %} is not available in texts"),
        ("{% set a %}x{% endset %}", {}, "{% set %} with a block is not available in texts"),
        ("{% include 'x' %}", {}, "{% include %} is not available in texts"),
        ("{% with %}{% endwith %}", {}, "{% with %} is not available in texts"),
    ],
)  # fmt: skip
def test_what_a_template_cannot_do_in_words(source: str, given: dict[str, object], said: str) -> None:
    assert fault(source, given) == f"file.txt:1: {said}"


@pytest.mark.parametrize(
    ("source", "given", "expected"),
    [
        ("{{ x }}", {"x": "a" * MOST}, "a" * MOST),
        ("{{ x|join }}", {"x": "a" * 200}, "a" * 200),
        ("{% for y in x %}{{ y }}{% endfor %}", {"x": "a" * 200}, "a" * 200),
        ("{{ x|join('-') }}", {"x": ["a" * (MOST - 3), "b"]}, "a" * (MOST - 3) + "-b"),
        ("{{ x|replace('a', 'b') }}", {"x": "a" + "c" * (MOST - 2)}, "b" + "c" * (MOST - 2)),
        ("{{ x|replace(1, 'b') }}", {"x": "1c"}, None),
        ("{{ x * 10 }} {{ x * -10 }}", {"x": 10**17}, f"{10**18} -{10**18}"),
        ("{{ x + y }} {{ x ~ 1 }}", {"x": "a", "y": "b"}, "ab a1"),
        ("{{ x + y }}", {"x": [1], "y": [2]}, None),
        ("{{ 7 % 4 }} {{ 7 - 4 }} {{ 7 // 4 }} {{ 7 / 4 }} {{ -7 }} {{ +7 }}", {}, "3 3 1 1.75 -7 7"),
        ("{{ x|round }} {{ x|round(0) }} {{ x|round(1) }} {{ 3|round }}", {"x": 2.55}, "3 3 2.5 3"),
        ("{{ x|phone }} {{ x|digits }}", {"x": "+48601234567"}, "+48 601 234 567 48601234567"),
        ("{{ x|digits }}", {"x": "a1\u0661-2"}, "12"),
        ("{{ x|default('d') }} {{ x|d('d') }}", {}, "d d"),
        ("{{ x|first }}{{ x|last }}{{ x|length }}{{ x|count }}", {"x": "abc"}, "ac33"),
        ("{{ x|sort|join(',') }} {{ x|unique|list|length }} {{ x|reverse|join }}", {"x": "cab"}, "a,b,c 3 bac"),
        ("{{ x|capitalize }} {{ x|title }} {{ x|upper }} {{ x|lower }}", {"x": "aB c"}, "Ab c Ab C AB C ab c"),
        ("{{ x|trim }}|{{ x|int }}|{{ x|float }}|{{ x|int|abs }}|{{ x|string }}|", {"x": " -5 "}, "-5|-5|-5.0|5| -5 |"),
        ("{{ x|truncate(9) }}", {"x": "a much longer text"}, "a..."),
        ("{{ x.upper() }}{{ x.find('b') }}{{ x.isdigit() }}{{ x.split('b')|length }}", {"x": "abc"}, "ABC1False2"),
        ("{{ x.get('a') }}{{ x.get('b', 7) }}{{ x.items()|length }}", {"x": {"a": 1}}, "171"),
        ("{{ x.keys()|join }}{{ x.values()|join }}", {"x": {"a": 1}}, "a1"),
        ("{{ x.items }}", {"x": {"items": "own"}}, "own"),
        ("{{ x['items'] }}{{ x.a }}{{ x[0] }}", {"x": {"items": "own", "a": "b", 0: "c"}}, "ownbc"),
        ("{{ x[0] }}{{ x[-1] }}{{ x[1:] }}", {"x": "abc"}, "acbc"),
        ("{{ none }}{{ x }}{{ x is none }}", {"x": None}, "True"),
        ("{{ x.date() }} {{ x.time().hour }} {{ x.weekday() }}", {"x": datetime(2026, 7, 1, 22, 30)},
         "2026-07-01 22 2"),
        ("{% for y in x %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{% endfor %}", {"x": "ab"},
         "02TrueFalse11FalseTrue"),
        ("{% for y in x %}{{ loop.index }}/{{ loop.length }} {% endfor %}", {"x": "ab"}, "1/2 2/2 "),
        ("{{ x is string }}{{ x is defined }}{{ y is undefined }}{{ 2 is even }}{{ 1 is lt 2 }}{{ 'a' is in x }}",
         {"x": "a"}, "TrueTrueTrueTrueTrueTrue"),
        ("{{ 1 if x }}", {"x": True}, "1"),
        ("a\rb\r\nc\n\n", {}, "a\nb\nc\n"),
    ],
)  # fmt: skip
def test_what_a_template_can_do(source: str, given: dict[str, object], expected: str | None) -> None:
    template = text.Template(source, name="t")
    if expected is None:
        with pytest.raises(errors.TextError):
            template.render(given)
    else:
        assert template.render(given) == expected


def test_a_mistake_is_as_long_as_it_may_be() -> None:
    assert len(fault("{{ x }}", {f"name{n}": 1 for n in range(500)})) == len("file.txt:1: ") + 1000
    assert len(text.Template("x" * 10_000, name="t").source) == 10_000
    assert repr(text.Template("x", name="t")) == "Template(name='t')"


def test_the_line_of_a_mistake_that_shows_in_a_loop() -> None:
    source = "a\n{% for y in x %}\n{{ y.nope }}\n{% endfor %}"
    assert fault(source, {"x": "ab"}) == "file.txt:3: there is no 'nope' in a text"


def test_a_sandbox_has_nothing_but_what_is_listed() -> None:
    made = templates._Sandbox()
    assert made.globals == {}
    assert made.filters.keys() == templates._FILTERS.keys() | {"_bounded", "_rounds"}
    assert made.tests.keys() == templates._TESTS
    assert made.autoescape is False
    assert made.undefined is jinja2.StrictUndefined
    assert made.keep_trailing_newline is True
    assert made.cache is None
    assert made.finalize is templates._final
    with pytest.raises(errors.TextError, match=f"^a value has more than {MOST} characters$"):
        made.filters["upper"]("x" * (MOST + 1))
    assert made.filters["upper"]("x") == "X"
    assert made.filters["_rounds"]("ab") == ["a", "b"]
    assert made.filters["_bounded"]("x") == "x"


def test_what_may_be_called() -> None:
    made = templates._Sandbox()
    for good in ("x".upper, {"a": 1}.get, datetime(2026, 1, 1).strftime, made.undefined()):
        assert made.is_safe_callable(good)
    bad: list[object] = ["x".format, "x".encode, {"a": 1}.pop, [1].count, len, compile, datetime]
    for one in bad:
        assert not made.is_safe_callable(one)


@given(st.lists(st.sampled_from(["{{ a }}", "{{ a ~ a }}", "{% for c in a %}{{ a }}{% endfor %}", "text"])), st.text())
def test_what_is_rendered_never_exceeds_the_limit(parts: list[str], value: str) -> None:
    template = text.Template("".join(parts[:40]), name="t")
    with contextlib.suppress(errors.TextError):
        assert len(template.render({"a": value * 50})) <= templates.LONGEST_RESULT


def test_the_limit_itself() -> None:
    template = text.Template("{% for n in 'abcd' %}{{ a }}{% endfor %}{{ b }}", name="t")
    assert len(template.render({"a": "x" * 2500, "b": ""})) == templates.LONGEST_RESULT
    with pytest.raises(errors.TextError, match="more than 10000 characters"):
        template.render({"a": "x" * 2500, "b": "y"})


@given(st.text(st.characters(codec=None)) | st.just("{{ 7 * 7 }}{% for %}"))
def test_values_are_never_read_as_a_template(value: str) -> None:
    assert text.Template("<{{ a }}>", name="t").render({"a": value}) == f"<{value}>"


def test_names_are_known_before_any_call() -> None:
    template = text.Template(
        "{{ caller }}{{ a.b }}{{ var.c }}{{ var['d e'] }}{{ var.get('f', '') }}{% set g = 1 %}{{ g }}"
        "{% for h in i %}{{ h }}{{ loop.index }}{% endfor %}{% if j is defined %}{{ j }}{% endif %}",
        name="t",
    )
    assert template.names == {"caller", "a", "var", "i", "j"}
    assert template.members("var") == {"c", "d e"}
    assert text.expected(template) == {"a", "c", "d e", "i", "j"}


def test_one_template_serves_many_calls_at_once() -> None:
    template = text.Template("{% set x = a %}{{ x }}", name="t")
    assert [template.render({"a": n}) for n in range(3)] == ["0", "1", "2"]


# --- values ---------------------------------------------------------------------------------------------------


def test_standard_names_are_what_values_gives() -> None:
    assert set(values()) == text.STANDARD


def test_the_dialplans_variables() -> None:
    seen = values(variables={"ticket": "A\u200b7", "caller": "evil", "note": "a\r\nb\x00 \x1b[1mc", "long": "x" * 900})
    assert seen["ticket"] == "A7"
    assert seen["caller"] == "+48601234567", "ours is not taken"
    assert isinstance(seen["var"], dict)
    assert seen["var"]["caller"] == "evil"
    assert seen["note"] == "a\nb [1mc"
    assert len(str(seen["long"])) == text.LONGEST_VARIABLE


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("Jan  Kowalski ", "Jan Kowalski"),
        ("a\r\nb\tc\x0bd", "a b c d"),
        ("\u202egnp.exe\u202c", "gnp. exe"),
        ("a\u200b\u200d\ufeffb\x00\x1b[31m", "ab[31m"),
        ("x" * 100, "x" * 60),
        ("\ud800a", "a"),
        ("Zażółć\u2028ę", "Zażółć ę"),
        ("{{ 7*7 }}", "{{ 7*7 }}"),
    ],
)
def test_a_callers_name_is_cleaned_and_capped(name: str, cleaned: str) -> None:
    assert values(caller_name=name)["caller_name"] == cleaned


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("https://evil.example/a?b", "https evil. example a?b"),
        ("J.R. Tolkien, Sp. z o.o.", "J. R. Tolkien, Sp. z o. o."),
        ("evil．example", "evil example"),  # which transliteration would make a dot of
        ("evil。example", "evil example"),
        ("tel：1∕2", "tel 1 2"),
        ("evil.\U0001f600com", "evil. \U0001f600com"),
        ("evil.\u200bcom", "evil. com"),
        ("Jan...", "Jan..."),
        ("../../etc", ".. .. etc"),
        ("." * 59 + "ab", "." * 59),
    ],
)
def test_no_phone_makes_a_link_of_a_callers_name(name: str, cleaned: str) -> None:
    assert values(caller_name=name)["caller_name"] == cleaned


LINKED = re.compile(r"[/:]|\.[^\s.]")


@given(st.text(st.characters(codec=None) | st.sampled_from("./:．。։\u0307\u0654…a")), st.booleans())
def test_no_link_comes_of_a_callers_name_when_it_is_sent(name: str, transliterate: bool) -> None:
    sized = text.measure(str(values(caller_name=name)["caller_name"]), transliterate=transliterate)
    assert not LINKED.search(sized.text)


@given(st.text(st.characters(codec=None)), st.dictionaries(st.text(max_size=5), st.text(st.characters(codec=None))))
def test_whatever_comes_from_outside_can_be_sent(name: str, variables: dict[str, str]) -> None:
    seen = values(caller_name=name, variables=variables)
    assert "\n" not in str(seen["caller_name"])
    assert len(str(seen["caller_name"])) <= text.LONGEST_NAME
    assert isinstance(seen["var"], dict)
    for shown in (str(seen["caller_name"]), *seen["var"].values()):
        assert shown.replace("\n", "").isprintable() or not shown.isascii()
        shown.encode()  # raises where half a surrogate pair is left
        assert text.measure(shown).segments >= 1


def test_now_is_in_the_nodes_zone() -> None:
    now = values()["now"]
    assert isinstance(now, datetime)
    assert now == visit().arrived_at
    assert now.tzinfo is WARSAW
    assert str(now) == "2026-07-02 00:30"


def test_sample_fills_what_the_dialplan_will_give() -> None:
    template = text.Template("{{ ticket }} {{ var.desk }} {{ caller|phone }} {{ now }}", name="t")
    seen = text.sample(template, node="taxi", time_zone=WARSAW, variables={"desk": "7"})
    assert template.render(seen) == "12345 7 +48 601 234 567 2026-11-23 14:05"
    assert set(seen) == text.STANDARD | {"ticket", "desk"}


def test_sample_is_a_real_call_as_far_as_a_text_can_see() -> None:
    template = text.Template("{{ ticket }}{{ pbx }}{{ api.sum }}", name="t")
    seen = text.sample(template, node="taxi", time_zone=WARSAW)
    assert seen == {
        "caller": "+48601234567",
        "dialled": "+48221131415",
        "diverted_from": "+48221131416",
        "caller_name": "Jan Kowalski",
        "call_id": "1795439100.12",
        "node": "taxi",
        "description": "",
        "pbx": "pbx",
        "now": datetime(2026, 11, 23, 14, 5, tzinfo=WARSAW),
        "ticket": "12345",
        "var": {"ticket": "12345"},
    }
    named = text.sample(template, node="taxi", description="Desk", time_zone=WARSAW, pbx="branch")
    assert (named["description"], named["pbx"]) == ("Desk", "branch")


def test_numbers_and_ids_from_outside_are_cleaned_and_capped_too() -> None:
    seen = text.values(
        visit(call_id="c\u200bd" * 300),
        node="taxi",
        description="",
        time_zone=WARSAW,
        caller="1\n" + "2" * 90,
        dialled="3\t" + "4" * 90,
        diverted_from="5\u200b" + "6" * 90,
    )
    assert seen["caller"] == "1 " + "2" * 58
    assert seen["dialled"] == "3 " + "4" * 58
    assert seen["diverted_from"] == "5" + "6" * 59
    assert seen["call_id"] == ("cd" * 300)[:500]


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("a\rb", "a\nb"),
        ("a \u200b b\n c ", "a b\nc"),
        ("x" * 900 + "\n" + "y" * 900, "x" * 500),
        ("x" * 498 + "\n" + "y" * 900, "x" * 498 + "\ny"),
        ("a\u00a0 b", "a b"),
        ("a\u0378b", "a\u0378b"),  # printed by nobody, but none of those that are dropped
    ],
)
def test_a_variable_keeps_its_lines(value: str, cleaned: str) -> None:
    assert values(variables={"note": value})["note"] == cleaned


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("a." * 100, ("a. " * 20).rstrip()),
        (" " * 300 + "a", "a"),
        ("a" * 58 + ".b.c", "a" * 58 + "."),
        ("e\u0301.x", "é. x"),
        ("." * 239 + "ab", "." * 60),
    ],
)
def test_a_callers_name_is_capped_after_it_is_cleaned(name: str, cleaned: str) -> None:
    assert values(caller_name=name)["caller_name"] == cleaned


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (0, ("segment",), "0 segments"),
        (1, ("segment",), "1 segment"),
        (2, ("segment",), "2 segments"),
        (1, ("reply", "replies"), "1 reply"),
        (2, ("reply", "replies"), "2 replies"),
    ],
)
def test_so_many_in_words(count: int, words: tuple[str, ...], said: str) -> None:
    assert text.counted(count, *words) == said


# --- senders --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sender", ["", "ACME", "Taxi 24", "A.B-C&D_E+1", "+48221131415", "123", "12345678", "a" * 11])
def test_senders_that_are_fine(sender: str) -> None:
    assert text.sender_fault(sender) is None


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        ("A" * 12, "has 12 characters; a name as sender has at most 11"),
        ("48221131415", "write it as +48221131415"),
        ("0048 22 113 14 15", "write it as +48221131415"),
        ("12", "short code (3 to 8 digits)"),
        ("1" * 16, "international format (+ and 7 to 15 digits)"),
        ("+0123456789", "nor a short code"),
        ("Łódź", "has 'Ł' in it"),
        ("A\n", "has spaces around it; write 'A'"),
        (" A", "has spaces around it; write 'A'"),
        ("A\x00B", "has '\\x00' in it"),
        ("A\r\nB", "has '\\r' in it"),
        ("1.2.x"[:4] + "_", "has no letter in it"),
        ("x" * 5000, "has 5000 characters"),
    ],
)
def test_senders_that_are_not(sender: str, said: str) -> None:
    found = text.sender_fault(sender)
    assert found is not None
    assert said in found
    assert len(found) < 200


NEITHER = "is neither a number in international format (+ and 7 to 15 digits) nor a short code (3 to 8 digits)"
CODE = "with its country code"
LETTERS = "a name as sender has letters A-Z, digits, spaces and . - & _ +"


@pytest.mark.parametrize(
    ("sender", "region", "said"),
    [
        ("221131415", "PL", f"'221131415' reads like a number; write it as +48221131415, {CODE}"),
        ("22 113-14.15", "PL", f"'22 113-14.15' reads like a number; write it as +48221131415, {CODE}"),
        ("(22)113/1415", "PL", f"'(22)113/1415' reads like a number; write it as +48221131415, {CODE}"),
        ("221131415", "", f"'221131415' reads like a number; write it as +221131415, {CODE}"),
        ("+48 22 113 14 15", "", f"'+48 22 113 14 15' reads like a number; write it as +48221131415, {CODE}"),
        ("0048221131415", "", f"'0048221131415' reads like a number; write it as +48221131415, {CODE}"),
        ("12", "PL", f"'12' {NEITHER}"),
        ("0123456789", "", f"'0123456789' {NEITHER}"),
        ("+1" + "2" * 38, "", f"'+1{'2' * 38}' {NEITHER}"),
        ("+1" + "2" * 39, "", f"'+1{'2' * 38}…' {NEITHER}"),
        ("  " + "a" * 50, "", f"'  {'a' * 38}…' has spaces around it; write '{'a' * 40}'"),
        ("a" * 12, "", f"'{'a' * 12}' has 12 characters; a name as sender has at most 11"),
        ("Café Zoé", "", f"'Café Zoé' has 'é' in it; {LETTERS}"),
        ("a,b", "", f"'a,b' has ',' in it; {LETTERS}"),
        ("1&2", "", "'1&2' has no letter in it; a name as sender needs one, a number its + and country code"),
    ],
)
def test_what_is_wrong_with_a_sender_and_the_mend(sender: str, region: str, said: str) -> None:
    assert text.sender_fault(sender, region) == said


@given(st.text())
def test_a_sender_that_passes_fits_the_protocol(sender: str) -> None:
    if text.sender_fault(sender) is None:
        assert sender.isascii()
        assert sender.isprintable()
        assert len(sender) <= 11 or sender.startswith("+")
