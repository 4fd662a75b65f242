"""Paths of names and numbers find what the library finds."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_sms import http_body
from agi_sms.providers import http_paths

NAMES = st.sampled_from(["a", "b", "_c", "id", "length", "and", "true", "A1", "0", "1"])
TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
STEPS = st.one_of(
    NAMES.filter(lambda name: not name.isdigit()).map(lambda name: f".{name}"),
    st.integers(min_value=0, max_value=3).map(lambda at: f"[{at}]"),
)
PATHS = st.lists(STEPS, max_size=4).map(lambda steps: "$" + "".join(steps))


@settings(deadline=None, max_examples=500)
@given(TREES, PATHS)
def test_a_plain_path_finds_what_the_library_finds(tree: Any, path: str) -> None:
    assert http_paths.plain(path)
    assert list(http_paths.finder(path)(tree)) == list(http_body.JsonPath(path).find(tree))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [{"a": [1, {"b": None}], "0": "zero"}]),
        ("$.a[0]", [1]),
        ("$.a[1].b", [None]),
        ("$.a[2]", []),
        ("$.a.b", []),
        ("$[0]", ["zero"]),
        ("$.a[0].b", []),
        ("$.a[-1].b", [None]),
        ("$.a[*]", [1, {"b": None}]),
        ("$..b", [None]),
        ("$['a'][0]", [1]),
    ],
)
def test_what_is_found(path: str, found: list[object]) -> None:
    assert list(http_paths.finder(path)({"a": [1, {"b": None}], "0": "zero"})) == found


@pytest.mark.parametrize("path", ["$.a[01]", "$.", "$.a[", "$..", "$.a[?@.b =~ /x/]", "a.b.", "$.a b"])
def test_what_is_no_path_is_a_mistake(path: str) -> None:
    with pytest.raises(ValueError, match="is no JSONPath"):
        http_paths.finder(path)


@pytest.mark.parametrize(
    ("place", "plain"),
    [("id", True), ("?ref", True), ("$.a[0].b", True), ("$..a", False), ("$.a ?ref", False), ("/a/b", False)],
)
def test_which_places_are_found_in_no_time(place: str, plain: bool) -> None:
    assert http_paths.plain(place) == plain
