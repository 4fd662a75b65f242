"""Which providers a number's messages go to: the pure choice, how it is written, and who is held for want of one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_sms import config, config_routes, errors, message, node, numbers, plan, ports, resolution
from agi_sms.message import Reason, Source, Status
from tests.unit.visits import MOBILE, NOW, PL, make_node, make_visit

GERMAN, SWISS, AMERICAN, CANADIAN, SATELLITE = (
    *("+4915112345678", "+41791234567", "+12125550123", "+16135550123", "+870773111632"),
)
POLISH_AND_GERMAN = node.Route(
    ways=(
        node.Way(providers=("a",), prefixes=("+4866",)),
        node.Way(providers=("b", "a"), countries=("PL", "US"), prefixes=("+49",)),
    )
)
WITH_THE_REST = node.Route(ways=(*POLISH_AND_GERMAN.ways, node.Way(providers=("c",))))


# --- the choice ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+48660100200", ("a",)),  # the first entry that fits, though the next would too
        (MOBILE, ("b", "a")),
        (GERMAN, ("b", "a")),  # by its prefix
        (AMERICAN, ("b", "a")),  # by its country
        (CANADIAN, ()),  # the same country code, another country
        (SWISS, ()),
        (SATELLITE, ()),
        ("", ()),
        ("anonymous", ()),
    ],
)
def test_the_first_entry_that_fits_counts(number: str, expected: tuple[str, ...]) -> None:
    assert POLISH_AND_GERMAN.for_number(number) == expected
    assert WITH_THE_REST.for_number(number) == expected or ("c",)


def test_a_plain_list_is_for_every_number() -> None:
    plain = node.Route.of("a", "b")
    assert {plain.for_number(number) for number in (MOBILE, SATELLITE, "", "x")} == {("a", "b")}
    assert plain.providers == ("a", "b")
    assert WITH_THE_REST.providers == ("a", "b", "c")


def test_the_region_of_a_number() -> None:
    found = {number: numbers.region(number) for number in (MOBILE, CANADIAN, SATELLITE, "+48", "48600100200", "9" * 90)}
    assert list(found.values()) == ["PL", "CA", numbers.WORLD, "", "", ""]


@given(st.text(max_size=60))
def test_no_number_is_too_odd(number: str) -> None:
    assert WITH_THE_REST.for_number(number) in {("a",), ("b", "a"), ("c",)}


# --- a plan, an answer --------------------------------------------------------------------------------------------


def told(drafts: tuple[message.Draft, ...]) -> list[tuple[str, Status, Reason | None, tuple[str, ...]]]:
    return [(draft.recipient, draft.status, draft.reason, draft.route) for draft in drafts]


def test_every_recipient_goes_its_own_way() -> None:
    target = make_node(
        recipients=(node.Recipient(number=GERMAN), node.Recipient(number=SWISS)),
        dialplan_recipients=True,
        send_to_caller=True,
        route=POLISH_AND_GERMAN,
    )
    planned = plan.plan(make_visit(recipients="+48660100200, nobody"), target, PL)
    assert told(planned.drafts) == [
        (GERMAN, Status.SCHEDULED, None, ("b", "a")),
        (SWISS, Status.HELD, Reason.NO_ROUTE, ()),
        ("+48660100200", Status.SCHEDULED, None, ("a",)),
        ("nobody", Status.SKIPPED, Reason.RECIPIENT_INVALID, ()),
        (MOBILE, Status.SCHEDULED, None, ("b", "a")),
    ]
    assert planned.count == 3


def test_a_bad_argument_is_told_before_a_missing_route() -> None:
    target = make_node(recipients=(node.Recipient(number=SWISS),), route=POLISH_AND_GERMAN)
    assert told(plan.plan(make_visit(delay="soon"), target, PL).drafts) == [
        (SWISS, Status.HELD, Reason.BAD_ARGUMENT, ())
    ]


def asking(**changed: Any) -> node.Node:
    own = node.Asking(allow=frozenset({node.Allowed.RECIPIENTS}))
    return make_node(**({"template": None, "asking": own, "route": POLISH_AND_GERMAN} | changed))


def test_nobody_is_asked_for_a_text_that_cannot_go_anywhere() -> None:
    target = asking(recipients=(node.Recipient(number=SWISS),), asking=node.Asking())
    planned = plan.plan(make_visit(), target, PL)
    assert [(draft.status, draft.reason) for draft in planned.drafts] == [(Status.HELD, Reason.NO_ROUTE)]
    assert planned.fetch_at is None


def test_an_answer_may_name_others_than_those_without_a_route() -> None:
    planned = plan.plan(make_visit(), asking(recipients=(node.Recipient(number=SWISS),)), PL)
    assert told(planned.drafts) == [
        (SWISS, Status.HELD, Reason.NO_ROUTE, ()),
        ("", Status.WAITING, None, ()),
    ]
    assert planned.drafts[1].source is Source.API
    assert planned.fetch_at == NOW


def test_whom_an_answer_names_goes_his_own_way() -> None:
    answer = ports.Answer(text="Hello", recipients=f"{GERMAN}, {SWISS}, x")
    found = resolution.resolve(make_visit(), asking(), PL, answer)
    assert told(found.more) == [
        (GERMAN, Status.SCHEDULED, None, ("b", "a")),
        (SWISS, Status.HELD, Reason.NO_ROUTE, ()),
        ("x", Status.SKIPPED, Reason.RECIPIENT_INVALID, ()),
    ]


# --- how it is written --------------------------------------------------------------------------------------------

TREE: dict[str, Any] = {
    "providers": {name: {"type": "file", "path": f"{name}.jsonl"} for name in "abc"},
    "nodes": {"desk": {"recipients": f"{MOBILE}, {GERMAN}", "content": {"text": "Hello"}}},
}


def load(folder: Path, routes: str, **changed: Any) -> config.Config:
    """The configuration with these routes, written as YAML."""
    path = folder / "agi-sms.yaml"
    tree = "\n".join(f"{key}: {json.dumps(value)}" for key, value in (TREE | changed).items())
    path.write_text(f"routes:\n{routes}\n{tree}\n", encoding="utf-8")
    return config.load(path, {})


def warned(folder: Path, routes: str, **changed: Any) -> list[str]:
    found = load(folder, routes, **changed).warnings
    return [
        warning.replace(f"{folder}{os.sep}", "") for warning in found if "routes." in warning or "nodes." in warning
    ]


BY_NUMBER = """\
  default:
  - {prefixes: +4866, providers: a}
  - {countries: "PL, US", prefixes: [+49], providers: [b, a]}
  - {providers: [c]}
"""


def test_a_route_by_number_is_compiled(tmp_path: Path) -> None:
    loaded = load(tmp_path, BY_NUMBER)
    assert loaded.nodes["desk"].route == WITH_THE_REST
    assert not [warning for warning in loaded.warnings if "pbx" not in warning]
    shown = "+4866: a; PL US +49: b, a; else: c"
    assert config_routes.shown(loaded.nodes["desk"].route) == shown
    assert shown in config.format_report(loaded)
    verbose = config.format_report(loaded, verbose=True).splitlines()
    for line in ("+4866: a", "PL US +49: b, a", "else: c"):
        assert f"  route        {line}" in verbose


def test_a_plain_route_is_shown_as_it_is_written(tmp_path: Path) -> None:
    loaded = load(tmp_path, "  default: [a, b]")
    assert loaded.nodes["desk"].route == node.Route.of("a", "b")
    assert config_routes.shown(loaded.nodes["desk"].route) == "a, b"
    assert not any(line.startswith("  route ") for line in config.format_report(loaded, verbose=True).splitlines())


def test_one_entry_needs_no_list(tmp_path: Path) -> None:
    loaded = load(tmp_path, "  default: {prefixes: +48, providers: a}")
    assert loaded.nodes["desk"].route.for_number(MOBILE) == ("a",)
    assert loaded.nodes["desk"].route.for_number(GERMAN) == ()


def test_a_reload_that_changes_a_route_changes_the_revision(tmp_path: Path) -> None:
    first = load(tmp_path, BY_NUMBER).nodes["desk"].revision
    assert load(tmp_path, BY_NUMBER).nodes["desk"].revision == first
    assert load(tmp_path, BY_NUMBER.replace("+4866", "+4867")).nodes["desk"].revision != first


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (
            "  default:\n  - {prefixes: 48, providers: a}",
            "3: routes.default[0].prefixes: must be the beginning of an international number: + and digits, like +48",
        ),
        ("  default:\n  - {prefixes: [+0], providers: a}", "3: routes.default[0].prefixes[0]: must be the beginning "),
        ("  default:\n  - {countries: [pl], providers: a}", "3: routes.default[0].countries[0]: is no region; did you"),
        ("  default:\n  - {countries: any, providers: a}", "3: routes.default[0].countries: is no region; two letters"),
        (
            "  default:\n  - {country: PL, providers: a}",
            "3: routes.default[0].country: unknown key; did you mean count",
        ),
        ("  default:\n  - {countries: PL}", "3: routes.default[0].providers: is missing"),
        ("  default:\n  - {providers: []}", "3: routes.default[0].providers: must hold at least 1"),
        (
            "  default:\n  - {providers: [a, d]}",
            "3: routes.default[0].providers[1]: there is no provider 'd'; known: a",
        ),
        ("  default: {providers: d}", "2: routes.default.providers: there is no provider 'd'; known: a, b"),
        ("  default: [a, {providers: b}]", "2: routes.default: must be names of providers, or entries like {"),
        ("  default: []", "2: routes.default: must hold at least 1"),
        ("  default: [[a]]", "2: routes.default[0]: must be text"),
    ],
)
def test_every_mistake_has_its_place(tmp_path: Path, routes: str, expected: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        load(tmp_path, routes)
    (mistake,) = caught.value.mistakes
    assert mistake.startswith(f"{tmp_path}{os.sep}agi-sms.yaml:{expected}")


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("nihgt", "nodes.desk.route: there is no route or provider 'nihgt'; did you mean night?"),
        ("zzz", "nodes.desk.route: there is no route or provider 'zzz'; known: a, b, c, default, night, print"),
        (
            "d" * 81,
            f"nodes.desk.route: there is no route or provider '{'d' * 80}'; known: a, b, c, default, night, print",
        ),
        (["zzz"], "nodes.desk.route[0]: there is no route or provider 'zzz'; known: a, b, c, default, night, print"),
        (["a", "zzz"], "nodes.desk.route[1]: there is no provider 'zzz'; known: a, b, c, print"),
        (["a", "night"], "nodes.desk.route[1]: there is no provider 'night'; known: a, b, c, print"),
        (["night", "a"], "nodes.desk.route[0]: there is no provider 'night'; known: a, b, c, print"),
    ],
)
def test_a_node_that_goes_nowhere(tmp_path: Path, route: str | list[str], expected: str) -> None:
    desk = {"desk": {**TREE["nodes"]["desk"], "route": route}}
    with pytest.raises(errors.ConfigError) as caught:
        load(tmp_path, "  default: [a]\n  night: [b]", nodes=desk)
    (mistake,) = caught.value.mistakes
    assert mistake.partition(": ")[2] == expected


def test_what_a_nodes_route_comes_to(tmp_path: Path) -> None:
    routes = "  default: [a]\n  night: [b, c]"
    for route, providers in (("night", ("b", "c")), (["night"], ("b", "c")), ("c", ("c",)), (["c", "a"], ("c", "a"))):
        desk = {"desk": {**TREE["nodes"]["desk"], "route": route}}
        loaded = load(tmp_path, routes, nodes=desk)
        assert loaded.nodes["desk"].route == node.Route.of(*providers)
        unused = [warning.rpartition(" ")[0] for warning in loaded.warnings if "routes.night" in warning]
        assert bool(unused) is ("night" not in route)


def test_where_what_is_never_reached_stands(tmp_path: Path) -> None:
    entries = "  - {countries: [PL, DE], providers: a}\n  - {countries: [CH, DE, PL], providers: b}"
    found = warned(tmp_path, f"  default:\n{entries}")
    assert found == [
        "agi-sms.yaml:4: routes.default[1].countries[1]: DE is never reached: it stands in an entry above",
        "agi-sms.yaml:4: routes.default[1].countries[2]: PL is never reached: it stands in an entry above",
    ]


def test_a_route_whose_first_entry_takes_all_is_shown_whole() -> None:
    first = node.Way(providers=("a",))
    route = node.Route(ways=(first, node.Way(providers=("b",), countries=("PL",))))
    assert config_routes.shown(route) == "else: a; PL: b"
    assert config_routes.shown(node.Route(ways=(first,))) == "a"


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (
            "  default:\n  - {providers: a}\n  - {prefixes: +48, providers: b}",
            "agi-sms.yaml:4: routes.default[1]: is never reached: an entry above it has no conditions",
        ),
        (
            "  default:\n  - {prefixes: +48, providers: a}\n  - {prefixes: [+4866, +49], providers: b}",
            "agi-sms.yaml:4: routes.default[1].prefixes[0]: +4866 is never reached: +48 stands in an entry above",
        ),
        (
            "  default:\n  - {countries: [PL, DE], providers: a}\n  - {countries: DE, providers: b}",
            "agi-sms.yaml:4: routes.default[1].countries: DE is never reached: it stands in an entry above",
        ),
        (
            "  default:\n  - {countries: PL, providers: [a, a]}\n  - providers: b",
            "agi-sms.yaml:3: routes.default[0].providers[1]: 'a' stands in this route twice",
        ),
        (
            "  default:\n  - {countries: PL, providers: a}",
            f"agi-sms.yaml:5: nodes.desk.recipients: no entry of its route is for {GERMAN}: no SMS goes there",
        ),
    ],
)
def test_what_does_nothing_is_warned_of(tmp_path: Path, routes: str, expected: str) -> None:
    (found,) = warned(tmp_path, routes)
    assert found.startswith(expected)


def test_providers_that_no_entry_names_are_warned_of(tmp_path: Path) -> None:
    found = load(tmp_path, "  default:\n  - {prefixes: +48, providers: a}\n  - providers: b").warnings
    assert [warning.rpartition(" providers.")[2] for warning in found if " providers." in warning] == [
        "c: no route and no node uses it"
    ]
