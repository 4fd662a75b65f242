"""Whether a figure of the gateway stays what it is: samples in, slopes out. Pure."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WARM_UP = 1 / 3  # of the run: caches fill, and memory that was freed is kept for later


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the gateway has at a moment (seconds since the calls began). Memory and log in bytes."""

    at: float
    memory: float
    files: float
    threads: float
    wal: float


@dataclass(frozen=True, kw_only=True)
class Bound:
    """By how much a figure may grow over the judged part of a run."""

    figure: str
    most: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of a figure; `grew` is what its slope makes over the judged part, whatever single samples say."""

    figure: str
    first: float
    last: float
    highest: float
    grew: float
    most: float

    @property
    def flat(self) -> bool:
        return self.grew <= self.most


BOUNDS = (
    Bound(figure="memory", most=4 << 20),  # 90,000 calls that leave 70 bytes each show
    Bound(figure="files", most=3),
    Bound(figure="threads", most=3),
    Bound(figure="wal", most=16 << 20),
)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs (Theil and Sen): a few samples out of line change nothing."""
    found = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(points, 2) if b[0] > a[0]]
    return statistics.median(found) if found else 0.0


def judge(samples: Sequence[Sample], bounds: Sequence[Bound] = BOUNDS) -> list[Judged]:
    """What comes after the warm-up counts. Raises ValueError where there is too little."""
    if len(samples) < 6:
        raise ValueError("too few samples to tell a slope; let it run for longer")
    after = samples[0].at + (samples[-1].at - samples[0].at) * WARM_UP
    kept = [one for one in samples if one.at >= after]
    span = kept[-1].at - kept[0].at
    found = []
    for bound in bounds:
        points = [(one.at, float(getattr(one, bound.figure))) for one in kept]
        values = [value for _, value in points]
        judged = Judged(
            figure=bound.figure,
            first=values[0],
            last=values[-1],
            highest=max(values),
            grew=slope(points) * span,
            most=bound.most,
        )
        found.append(judged)
    return found
