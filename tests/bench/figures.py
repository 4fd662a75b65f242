"""What `make bench` measures, each figure beside its floor, and what is required of it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Section:
    """Figures that have one floor. `bare` is what else was measured, for the record."""

    title: str
    floor: str
    bare: str = ""


SECTIONS = {
    "hold": Section(
        title="Calls in the node, by Asterisk's clock",
        floor="an aioari application in our place, behind the same subroutine: sets a variable, lets the call go on",
        bare="one that only lets it go on",
    ),
    "http": Section(
        title="Messages sent over HTTP, recorded, and reported as delivered",
        floor="an aiohttp client that posts the same to the same company; nothing recorded, no receipts",
        bare="one that takes the receipts too",
    ),
    "smpp": Section(
        title="Messages sent over SMPP, recorded, and reported as delivered",
        floor="a bare client that submits the same to the same SMSC; nothing recorded, no receipts",
        bare="one that takes the receipts too",
    ),
    "memory": Section(title="Memory of the gateway (RSS)", floor="the gateway with an empty database"),
    "history": Section(title="With a long history", floor="the same with an empty database"),
}

Of = Literal["ratio", "difference", "value"]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is required of a figure: of its ratio to the floor, its difference from it, or of itself."""

    of: Of
    most: float = math.inf
    least: float = -math.inf

    def words(self, unit: str) -> str:
        """Like `≤ 2 ×`."""
        sign, limit = ("≤", self.most) if math.isfinite(self.most) else ("≥", self.least)
        match self.of:
            case "ratio":
                return f"{sign} {limit:g} ×"
            case "difference":
                return f"{sign} floor {limit:+g} {unit}"
            case _:
                return f"{sign} {limit:g} {unit}".strip()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One thing measured: a value for each run, and those of the floor and of what is beside it for the record."""

    section: str
    name: str
    unit: str
    ours: tuple[float, ...]
    floor: tuple[float, ...] = ()
    bare: tuple[float, ...] = ()
    goal: Goal | None = None

    @property
    def value(self) -> float:
        """The median of the runs; NaN where there is none."""
        return median(self.ours)

    @property
    def ratio(self) -> float:
        """To the floor; NaN where there is none."""
        under = median(self.floor)
        return self.value / under if under else math.nan

    @property
    def judged(self) -> float:
        """What the goal is about; NaN where that is not known."""
        match self.goal.of if self.goal is not None else "ratio":
            case "difference":
                return self.value - median(self.floor)
            case "value":
                return self.value
            case _:
                return self.ratio

    @property
    def met(self) -> bool | None:
        """None where nothing is required. What is not known is not met."""
        return None if self.goal is None else self.goal.least <= self.judged <= self.goal.most

    def facts(self) -> dict[str, Any]:
        """For the JSON file, which knows no NaN."""
        medians = {"agi_sms": self.value, "floor": median(self.floor), "bare": median(self.bare), "ratio": self.ratio}
        return {
            "section": self.section,
            "name": self.name,
            "unit": self.unit,
            **{name: rounded(value) for name, value in medians.items()},
            "goal": None if self.goal is None else self.goal.words(self.unit),
            "met": self.met,
            "runs": {
                name: [rounded(value) for value in values]
                for name, values in (("agi_sms", self.ours), ("floor", self.floor), ("bare", self.bare))
            },
        }


def median(values: Sequence[float]) -> float:
    """NaN where there is none, or where one of them is NaN."""
    return statistics.median(values) if values and not any(map(math.isnan, values)) else math.nan


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` of them are below; NaN where there is none."""
    return sorted(values)[min(round(len(values) * part), len(values) - 1)] if values else math.nan


def rounded(value: float) -> float | None:
    """Four significant digits, None for NaN."""
    return None if math.isnan(value) else float(f"{value:.4g}")


def shown(value: float, unit: str = "") -> str:
    """For people: three significant digits, at least the whole ones; nothing for NaN."""
    if math.isnan(value):
        return ""
    digits = max(0, min(2, 2 - math.floor(math.log10(abs(value))))) if value else 0
    return f"{value:,.{digits}f} {unit}".strip()


def noise(values: Sequence[float]) -> float:
    """By how much, as a ratio, the highest of some runs is above their median; NaN where there is none."""
    return max(values) / median(values) if values and median(values) else math.nan
