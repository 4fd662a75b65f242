"""How much is measured."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """`seconds` is how long a load of calls lasts, `watch` how long a gateway's memory is looked at."""

    runs: int
    rates: tuple[float, ...]  # calls/s
    deaf_rate: float  # calls/s, with an AMI user that may hear no events
    slow_rate: float  # calls/s, with a content API and a provider that are slow
    seconds: float
    messages: int  # of one load over HTTP or SMPP
    waiting: int
    watch: float
    rows: int


WHOLE = Sizes(
    runs=5,
    rates=(50, 200, 400),
    deaf_rate=200,
    slow_rate=50,
    seconds=10,
    messages=5_000,
    waiting=100_000,
    watch=8,
    rows=1_000_000,
)
QUICK = Sizes(
    runs=1, rates=(50,), deaf_rate=50, slow_rate=50, seconds=3, messages=500, waiting=5_000, watch=0.5, rows=20_000
)


def chosen(*, quick: bool, runs: int | None) -> Sizes:
    """All of it or little; `runs` counts where it is given."""
    of = QUICK if quick else WHOLE
    return of if runs is None else replace(of, runs=runs)
