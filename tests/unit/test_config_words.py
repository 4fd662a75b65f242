"""What pydantic finds wrong, in words; what is near is offered, and what is behind a mistake is found too."""

import copy
from typing import Annotated, Any, Literal

import pydantic
import pytest

from agi_sms import config_words
from agi_sms.config_mistakes import Mistakes, Spot


class Inner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    rate: int = 1
    name: str = ""


class Shape(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    needed: int = 1
    level: Literal["debug", "info", "warning"] = "info"
    on: bool = False
    inner: Inner = Inner()
    many: list[Inner] = []
    named: dict[str, Inner] = {}
    either: Annotated[Inner | None, "a mark"] = None
    most: Annotated[int, pydantic.Field(le=9)] = 1
    code: Annotated[str, pydantic.Field(pattern="^a+$")] = "a"
    pair: tuple[int, int] = (0, 0)
    when: pydantic.AwareDatetime | None = None


def spots(tree: object, key: str = "", line: int = 1) -> Spot:
    """As if everything stood in one line of its own."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    children = {str(part): spots(one, f"{key}.{part}".lstrip("."), line) for part, one in inside}
    raw = str(tree) if isinstance(tree, int | float) else None
    return Spot(file="f", line=line, key=key, raw=raw, children=children)


def told(tree: dict[str, Any], kind: type[pydantic.BaseModel] = Shape) -> list[str]:
    tree, mistakes = copy.deepcopy(tree), Mistakes()  # what is wrong is taken out of it
    config_words.validated(lambda: kind.model_validate(tree), kind, [tree], spots(tree), mistakes)
    return [one.removeprefix("f:1: ") for one in mistakes.texts()]


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({}, []),
        ({"needed": "x"}, ["needed: must be a whole number"]),
        ({"most": 10}, ["most: must be at most 9"]),
        ({"code": "b"}, ["code: must match ^a+$"]),
        ({"level": "inf"}, ["level: must be debug, info or warning; did you mean info?"]),
        ({"level": "zzz"}, ["level: must be debug, info or warning"]),
        ({"level": "WARNINGS" + "!" * 200}, ["level: must be debug, info or warning"]),
        ({"level": ["info"]}, ["level: must be debug, info or warning"]),
        ({"on": "yes"}, []),
        ({"on": "maybe"}, ["on: must be true or false"]),
        ({"on": ["yes"]}, ["on: must be true or false"]),
        ({"inner": {"rat": 1}}, ["inner.rat: unknown key; did you mean rate?"]),
        ({"inner": {"zzz": 1}}, ["inner.zzz: unknown key; known: name, rate"]),
        ({"inner": {"name": 5}}, []),
        ({"inner": {"name": None}}, ["inner.name: has no value; must be text, or leave the key out"]),
        ({"inner": None}, []),
        ({"inner": "x"}, ["inner: must hold keys of its own, `key: value` lines indented below it"]),
        ({"many": [{"rat": 1}, {"rate": "x"}]},
         ["many.0.rat: unknown key; did you mean rate?", "many.1.rate: must be a whole number"]),
        ({"named": {"a": {"rat": 1}}}, ["named.a.rat: unknown key; did you mean rate?"]),
        ({"either": {"rat": 1}}, ["either.rat: unknown key; did you mean rate?"]),
        ({"needed": "x", "inner": {"rat": 1, "name": 5, "rate": "y"}},
         ["inner.rat: unknown key; did you mean rate?", "inner.rate: must be a whole number",
          "needed: must be a whole number"]),
        ({"pair": [1, "x"]}, ["pair.1: must be a whole number"]),
        ({"pair": 5}, ["pair: must be a list"]),
        ({"when": "2026-01-01T00:00:00"}, ["when: input should have timezone info"]),
    ],
)  # fmt: skip
def test_mistakes_in_words(tree: dict[str, Any], says: list[str]) -> None:
    assert sorted(told(tree)) == says


@pytest.mark.parametrize(
    ("word", "known", "show", "hint"),
    [
        ("Regoin", ["region", "Sender"], "", "did you mean region?"),
        ("sendre", ["region", "Sender"], "", "did you mean Sender?"),
        ("abcde", ["abxyz"], "", "known: abxyz"),  # as near as 0.4 only
        ("abcde", ["abcxy"], "", "did you mean abcxy?"),  # 0.6
        (5, [50], "", "did you mean 50?"),
        ("x", [], "", ""),
        ("x", [], "nodes", "there are no nodes"),
        ("x", ["b2", "a1", "b2"], "nodes", "nodes: a1, b2"),
        ("x", [f"n{number:02}" for number in range(30)], "",
         "known: " + ", ".join(f"n{number:02}" for number in range(30))),
        ("x", [f"n{number:02}" for number in range(31)], "",
         "known: " + ", ".join(f"n{number:02}" for number in range(30)) + ", ..."),
    ],
)  # fmt: skip
def test_the_nearest_name(word: object, known: list[object], show: str, hint: str) -> None:
    assert config_words.nearest(word, known, show=show) == hint


def test_what_is_left_of_a_tree_with_mistakes() -> None:
    tree: dict[str, Any] = {"needed": "x", "inner": {"rate": "y", "name": "ok"}, "many": [{"rate": "z"}], "most": 3}
    model, gone = config_words.validated(lambda: Shape.model_validate(tree), Shape, [tree], spots(tree), Mistakes())
    assert model == Shape(inner=Inner(name="ok"), most=3, many=[{}])  # type: ignore[list-item]
    assert gone == {("needed",), ("inner", "rate"), ("many", 0, "rate")}
    assert tree == {"inner": {"name": "ok"}, "many": [{}], "most": 3}


def test_mistakes_behind_mistakes_are_told_of_once() -> None:
    class Both(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        low: int
        high: int
        third: int = 0

        @pydantic.model_validator(mode="after")
        def _order(self) -> "Both":
            if self.low > self.high:
                raise ValueError("low: is more than high")
            return self

    assert told({"low": 3, "high": 2}, Both) == ["low: is more than high"]
    assert told({"low": 3, "high": 2, "third": "x"}, Both) == ["third: must be a whole number"]
    assert told({"low": 3, "hihg": 2}, Both) == ["hihg: unknown key; did you mean high?"]
    assert told({"low": 3, "zzz": 2}, Both) == ["high: is missing", "zzz: unknown key; known: high, low, third"]
    assert told({}, Both) == ["low: is missing", "high: is missing"]
    assert told({"low": None, "high": 1}, Both) == ["low: has no value; must be a whole number, or leave the key out"]


def test_numbers_that_are_meant_as_text_are_given_back_in_every_place() -> None:
    tree: dict[str, Any] = {"code": 5, "inner": {"name": 6}, "many": [{"name": 7}, {"name": 8}]}
    trees = [tree, {"needed": 1}]
    built: list[Any] = []

    def build() -> Shape:
        built.append(1)
        return Shape.model_validate(tree)

    mistakes = Mistakes()
    config_words.validated(build, Shape, trees, spots(tree), mistakes)
    assert [one.removeprefix("f:1: ") for one in mistakes.texts()] == ["code: must match ^a+$"]
    assert (tree["inner"], tree["many"]) == ({"name": "6"}, [{"name": "7"}, {"name": "8"}])


def test_what_is_put_or_taken_out() -> None:
    change = config_words._change
    tree: dict[str, Any] = {"a": {"b": [1, {"c": 2}]}, "d": 3}
    other: dict[str, Any] = {"d": 4}
    assert change([tree, other], ("a", "b", 1, "c"), 9)
    assert tree == {"a": {"b": [1, {"c": 9}]}, "d": 3}
    for path in (("x",), ("a", "x"), ("a", "b", 2), ("a", "b", "c"), ("d", 0), ("a", "b", 0, 0)):
        assert change([tree, other], path) is False
    assert change([tree, other], ("a", "b", 1, "c"))
    assert tree == {"a": {"b": [1, {}]}, "d": 3}
    assert change([other, tree], ("d",), 7)
    assert (tree["d"], other["d"]) == (7, 7)
    assert change([tree, other], ("d",))
    assert (tree, other) == ({"a": {"b": [1, {}]}}, {})
    assert change([tree], ("a", "b", 0))
    assert tree == {"a": {}}  # the whole list: its other items would have other places


def test_types_of_what_stands_below_a_key() -> None:
    child, keys = config_words.child, config_words.keys
    assert child(Shape, "needed") is int
    assert child(Shape, "nothing") is None
    assert child(child(Shape, "many"), 0) is Inner
    assert child(child(Shape, "named"), "x") is Inner
    assert child(child(Shape, "either"), "rate") is int
    assert child(Annotated[Annotated[Inner, 1], 2], "name") is str
    assert child(int, "x") is None
    assert keys(Shape)[:2] == ["needed", "level"]
    assert keys(Annotated[Inner | None, "a mark"]) == ["rate", "name"]
    assert keys(dict[str, Inner]) == []


def test_the_part_of_a_place_that_is_there() -> None:
    trees: list[dict[str, Any]] = [{"a": {"b": 1}}, {"a": {"c": [5]}}]
    there = config_words._existing
    assert there(("a", "c", 0, "tag"), trees) == ("a", "c", 0)
    assert there(("a", "union", "b"), trees) == ("a", "b")
    assert there(("a", "c", 1), trees) == ("a", "c")
    assert there(("z", "y"), [{"y": 1, "z": 1}, {"z": {"y": 2}}]) == ("z", "y")
    assert there((), trees) == ()
