"""What is to go wrong when, and who calls: all of it made from a seed, so that it can be had again. Pure."""

import random
from collections.abc import Collection
from dataclasses import dataclass

KILL = "kill"  # SIGKILL of the gateway, which its keeper starts again at once
PROVIDER = "provider"
DECK: dict[str, float] = {  # one after the other, in an order of its own; seconds that each lasts
    "asterisk-restart": 0.0,
    "asterisk-kill": 0.0,
    "ari-reset": 0.0,
    "ari-silence": 8.0,
    "ami-reset": 0.0,
    "ami-silence": 8.0,
    "disk-full": 6.0,
    "database-held": 10.0,
}
DISASTERS = (KILL, PROVIDER, *DECK)
ASTERISK_AWAY = 5.0  # seconds, about, from its end to its having booted
BETWEEN = (0.5, 2.0)  # seconds between two of the deck
KILL_EVERY = (1.0, 3.0)
AT_ONCE = 0.25  # of the kills, also while it starts
SERVED = (0.1, 2.0)  # seconds before the others
PAUSE = 3  # one in so many of the deck meets a gateway that lives on
PROVIDER_FAILS = (6.0, 12.0)
PROVIDER_WORKS = (2.0, 6.0)

NODES = ("idempotent", "hold", "resend", "brief", "once")  # in the order of their digits in a number
ONCE = NODES.index("once")
WAYS = ("agi-sms", "agi-sms-agi", "agi-sms-event")  # into the node; their digits in a number
WAY_SHARES = (8, 1, 1)
LEAVE_AFTER_MS = ((1, 40), (40, 150), (150, 700), (700, 2600))  # into the call; the last are for a gateway that is away
LEAVERS = 0.2  # of all calls
SEVERAL = 0.35  # of the calls reach the node two or three times


@dataclass(frozen=True, kw_only=True)
class Disaster:
    """Something that goes wrong; seconds since the calls began.

    A kill lasts as long as the gateway may serve calls before it, where it has not done so yet; 0: it need not at all.
    """

    name: str
    at: float
    lasts: float


@dataclass(frozen=True, kw_only=True)
class Load:
    """The calls of one sipp: the numbers that it dials, in order, and after how many ms its callers hang up."""

    numbers: tuple[str, ...]
    rate: float  # calls a second
    leave_after_ms: int | None = None  # they stay


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run."""

    seed: int
    loads: tuple[Load, ...]
    disasters: tuple[Disaster, ...]

    @property
    def calls(self) -> int:
        return sum(len(load.numbers) for load in self.loads)


def make(*, seed: int, calls: int, rate: float, only: Collection[str] = DISASTERS, pace: float = 1.0) -> Plan:
    """The plan of a seed. `pace` shortens what lasts (0.5: half as long), but for the time between two kills."""
    if unknown := set(only) - set(DISASTERS):
        raise ValueError(f"no such disaster: {', '.join(sorted(unknown))}; there are {', '.join(DISASTERS)}")
    dice = random.Random(seed)
    seconds = calls / rate
    loads = _loads(random.Random(dice.random()), calls, rate)
    dealt = _dealt(random.Random(dice.random()), seconds, [name for name in DECK if name in only], pace)
    provider = _provider(random.Random(dice.random()), seconds, pace) if PROVIDER in only else []
    kills = _kills(random.Random(dice.random()), seconds, dealt) if KILL in only else []
    return Plan(seed=seed, loads=loads, disasters=tuple(sorted(dealt + provider + kills, key=lambda one: one.at)))


def number(visits: int, node: int, way: int, *, stays: bool) -> str:
    """What is dialled for so many visits of a node; who does not stay is kept by the dialplan until it hangs up."""
    return f"7{visits}{node}{way}{0 if stays else 1}"


def _loads(dice: random.Random, calls: int, rate: float) -> tuple[Load, ...]:
    each = round(calls * LEAVERS / len(LEAVE_AFTER_MS))
    shares = [(calls - each * len(LEAVE_AFTER_MS), None), *((each, dice.randint(*span)) for span in LEAVE_AFTER_MS)]
    return tuple(
        Load(
            numbers=tuple(_number(dice, stays=leave is None) for _ in range(many)),
            rate=round(rate * many / calls, 3),
            leave_after_ms=leave,
        )
        for many, leave in shares
        if many
    )


def _number(dice: random.Random, *, stays: bool) -> str:
    node = dice.randrange(len(NODES))
    visits = dice.choice((2, 3)) if node == ONCE or dice.random() < SEVERAL else 1
    (way,) = dice.choices(range(len(WAYS)), WAY_SHARES)
    return number(visits, node, way, stays=stays)


def _dealt(dice: random.Random, seconds: float, names: list[str], pace: float) -> list[Disaster]:
    """The deck, again and again while there are calls; what would begin after them is left out."""
    found: list[Disaster] = []
    at = 1.0
    while names and at < seconds:
        for name in dice.sample(names, len(names)):
            lasts = DECK[name] * pace
            if at < seconds:
                found.append(Disaster(name=name, at=round(at, 2), lasts=lasts))
            at += (lasts or ASTERISK_AWAY * name.startswith("asterisk")) + dice.uniform(*BETWEEN) * pace
    return found


def _kills(dice: random.Random, seconds: float, dealt: list[Disaster]) -> list[Disaster]:
    """All the time, but for every third one of the others, which a gateway that lives on has to meet too."""
    alone = [(one.at - 1.0, one.at + max(one.lasts, 1.0)) for one in dealt[dice.randrange(PAUSE) :: PAUSE]]
    found = []
    at = dice.uniform(*KILL_EVERY)
    while at < seconds:
        if not any(begin <= at <= end for begin, end in alone):
            found.append(Disaster(name=KILL, at=round(at, 2), lasts=_served(dice)))
        at += dice.uniform(*KILL_EVERY)
    return found


def _served(dice: random.Random) -> float:
    return 0.0 if dice.random() < AT_ONCE else round(dice.uniform(*SERVED), 2)


def _provider(dice: random.Random, seconds: float, pace: float) -> list[Disaster]:
    found = []
    at = 0.5
    while at < seconds:
        lasts = dice.uniform(*PROVIDER_FAILS) * pace
        found.append(Disaster(name=PROVIDER, at=round(at, 2), lasts=round(lasts, 2)))
        at += lasts + dice.uniform(*PROVIDER_WORKS) * pace
    return found
