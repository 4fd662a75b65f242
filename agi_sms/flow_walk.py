"""Where the ways of a call lead, step by step, until each ends or is too deep. Pure.

`flow_draw` says what each step looks like and what comes behind it.
"""

import abc
import functools
from collections import deque
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, replace

from agi_sms import dialplan, dialplan_calls, flow_reach, flow_words
from agi_sms.dialplan_calls import Target
from agi_sms.dialplan_places import DIALLED, Found, Place, Places
from agi_sms.flow import Edge, Kind, Step

MOST_STEPS = 400
MOST_WAYS = 450  # Mermaid draws 500 (its maxEdges), and some have to follow yet
MOST_LOOKED = 100_000  # steps that are looked at on the way
LONGEST_EXTEN = 79  # characters, behind which Asterisk cuts it: AST_MAX_EXTENSION, channel.h
_EXTEN = "${EXTEN}"
MOST_LEADING = 40  # extensions to which one step leads, of those that lead to nodes
MOST_OTHERS = 12  # and of the others, or none of them
_LOOPS = {  # where each leads: to the end, or to the beginning, of what it is in
    "endwhile": (("while",), ("endwhile",), -1),
    "continuewhile": (("while",), ("endwhile",), -1),
    "exitwhile": (("while",), ("endwhile",), 1),
    "else": (("if",), ("endif",), 1),
    "elseif": (("if",), ("endif",), 1),
    "exitif": (("if",), ("endif",), 1),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A subroutine that was entered, and where its Return leads; None: to the end of a leg.

    A macro also comes back where its extension ends. `Walk.frame` makes them, the same one for the same: to compare
    two by what is in them would take twice as long with each subroutine around them.
    """

    home: str
    at: int
    back: "Spot | None"
    arguments: tuple[str, ...] = ()
    macro: bool = False

    @functools.cached_property
    def known(self) -> Mapping[str, str]:
        """What its ARG1, ARG2 ... are, those that are literal."""
        given = enumerate(self.arguments, start=1)
        return {f"ARG{number}": one for number, one in given if not dialplan_calls.computed(one)}


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a walk stands: a place, `path` into the applications that it runs, and the subroutines around it.

    `exten` is what `${EXTEN}` is, a pattern where only the call knows.
    """

    place: Place
    exten: str
    path: tuple[int, ...] = ()
    stack: tuple[Frame, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fan:
    """The extensions to which a step leads: those to draw, and how many lead on to a node, and how many do not."""

    drawn: tuple[Found, ...]
    leading: int
    others: int


class Walk(abc.ABC):
    """A flow on its way: its graph, and how to get from one step to the next that is drawn."""

    def __init__(self, places: Places, cards: Mapping[str, tuple[str, ...]], doors: dialplan.Doors, depth: int) -> None:
        self.places = places
        self.cards = cards
        self.doors = doors
        self.depth = depth
        self.reach = flow_reach.reaching(places, doors)
        self.steps: list[Step] = []
        self.edges: dict[Edge, None] = {}
        self.ids: dict[Hashable, int] = {}
        self.later: deque[Callable[[], None]] = deque()
        self.whole = True
        self.looked = 0  # at how many steps
        self.arrived: dict[Spot, int] = {}  # at which steps those lead that are not drawn
        self.frames: dict[Hashable, Frame] = {}  # each once
        self.fans: dict[Hashable, Fan] = {}
        self.contexts: dict[str, None] = {}  # in which calls were
        self.seen: set[flow_reach.Key] = set()  # extensions at whose beginning calls were

    @abc.abstractmethod
    def drawn(self, key: Hashable, spot: Spot, depth: int) -> int:
        """Make the step of a spot, and see to it that what comes behind it follows later."""

    # --- the graph ---

    def drain(self) -> None:
        """Draw what is left to be drawn."""
        while self.later:
            self.later.popleft()()

    @property
    def full(self) -> bool:
        """Whether there is no room for more, beside what has to follow the steps that are drawn."""
        ways = len(self.edges) + 2 * len(self.later)
        return len(self.steps) >= MOST_STEPS or ways >= MOST_WAYS or self.looked >= MOST_LOOKED

    def filled(self) -> bool:
        """Whether it is full; the flow is not whole then."""
        self.whole = self.whole and not self.full
        return not self.whole

    def fan(
        self, source: int, context: str, names: Collection[str], depth: int, *, fresh: bool = False, sure: bool = True
    ) -> None:
        """Ways to many extensions: those that lead to a node first of all, as many as can be looked at."""
        if fresh:
            fan = self.spread(context, names, self.seen)
        else:
            key = (context, frozenset(names))
            fan = self.fans[key] = self.fans.get(key) or self.spread(context, names)
        left = {True: fan.leading, False: fan.others}
        for one in fan.drawn:
            if self.filled():
                break
            target = self.arrive(self.first(one, context, one.extension.name), depth)
            include = "" if one.home == context else f" (include {flow_words.clipped(one.home)})"
            self.edge(source, target, f"{named(one)}{include}", sure=sure)
            left[self.reaches(one)] -= 1
        for leads, what in ((True, "with SMS nodes"), (False, "without an SMS node")):
            if count := left[leads]:
                title = f"{count} more extension{'' if count == 1 else 's'}"
                step = Step(kind=Kind.MORE, title=title, lines=(what,), place=context)
                self.edge(source, self.add((what, source, context), step), sure=sure)

    def spread(self, context: str, names: Collection[str], seen: Collection[flow_reach.Key] = ()) -> Fan:
        """The extensions of these names, without those that were seen."""
        found = [
            Found(home=home.name, at=at, extension=one)
            for home in self.places.reach(context)
            for at, one in enumerate(home.extensions)
            if one.name in names and _begins(one) and (home.name, at) not in seen
        ]
        leading = [one for one in found if self.reaches(one)]
        others = [one for one in found if not self.reaches(one)]
        own, included = ([one for one in others if (one.home == context) is mine] for mine in (True, False))
        few = [one for group in (own, included) if len(group) <= MOST_OTHERS for one in group]
        wanted = {(one.home, one.at) for one in leading[:MOST_LEADING] + few}
        drawn = tuple(one for one in found if (one.home, one.at) in wanted)
        return Fan(drawn=drawn, leading=len(leading), others=len(others))

    def add(self, key: Hashable, step: Step) -> int:
        if key not in self.ids:
            self.ids[key] = len(self.steps)
            self.steps.append(step)
        return self.ids[key]

    def edge(self, source: int, target: int, label: str = "", *, aside: bool = False, sure: bool = True) -> None:
        self.edges[Edge(source=source, target=target, label=label, aside=aside, sure=sure)] = None

    def frame(self, ahead: "Spot", back: "Spot | None", arguments: tuple[str, ...], *, macro: bool) -> Frame:
        """The subroutine that begins at a spot."""
        key = (ahead.place.home, ahead.place.at, back, arguments, macro)
        if key not in self.frames:
            self.frames[key] = Frame(home=key[0], at=key[1], back=back, arguments=arguments, macro=macro)
        return self.frames[key]

    def reaches(self, found: Found) -> bool:
        return (found.home, found.at) in self.reach

    def first(self, found: Found, context: str, exten: str, stack: tuple[Frame, ...] = ()) -> Spot:
        """The first step of an extension: priority 1, where every call begins."""
        place = Place(context=context, home=found.home, at=found.at, number=1)
        return Spot(place=place, exten=exten, stack=stack)

    def doing(self, spot: Spot) -> tuple[str, str] | None:
        """The application of a spot and its data; None where there is none."""
        one = self.places.priority(spot.place)
        if one is None:
            return None
        application, data = one.application, one.data
        for at in spot.path:
            if at >= 0:
                inner = dialplan_calls.branches(application, data)[at]
                application, data = inner.application, inner.data
        if "${" not in data:
            return application, data
        known = spot.stack[-1].known if spot.stack else {}
        return application, flow_words.given(
            data, known if spot.exten.startswith("_") else {**known, "EXTEN": spot.exten}
        )

    def next(self, spot: Spot) -> Spot:
        return replace(spot, place=replace(spot.place, number=spot.place.number + 1), path=())

    # --- on the way ---

    def arrive(self, spot: Spot, depth: int) -> int:
        """The first step from here on that is drawn; it is made, and what comes behind it follows later."""
        passed: set[Spot] = set()
        made = self.arriving(spot, depth, passed)
        if self.steps[made].kind is not Kind.MORE:  # which a shorter way may be able to draw
            self.arrived |= dict.fromkeys(passed, made)
        return made

    def arriving(self, spot: Spot, depth: int, passed: set[Spot]) -> int:
        """The same; the spots that are not drawn are put into `passed`."""
        while True:
            key = (spot.place, spot.path, spot.stack)
            self.contexts[spot.place.context] = None
            if spot.place.number == 1:
                self.seen.add((spot.place.home, spot.place.at))
            known = self.ids.get(key, self.arrived.get(spot))
            if known is not None:
                return known
            if depth > self.depth or self.filled():
                return self.more(spot)
            if spot in passed:
                return self.add(
                    ("round", key), Step(kind=Kind.END, title="goes round for ever", place=self.shown(spot))
                )
            passed.add(spot)
            self.looked += 1
            ahead = self.silent(spot, depth)
            if ahead is None:
                return self.drawn(key, spot, depth)
            if isinstance(ahead, int):
                return ahead
            same = (ahead.place.home, ahead.place.at) == (spot.place.home, spot.place.at)
            depth += not same and len(ahead.stack) >= len(spot.stack)
            spot = ahead

    def silent(self, spot: Spot, depth: int) -> "Spot | int | None":
        """Where a step leads that is not drawn itself; None for one that is."""
        doing = self.doing(spot)
        if self.comes_back(spot) and spot.stack and spot.stack[-1].back is not None:
            return spot.stack[-1].back
        if doing is None:
            return None
        application, data = doing
        name = application.lower()
        if name == "goto":
            return self.leads(spot, dialplan_calls.target(data), depth)
        if name in ("exec", "tryexec") and len(spot.path) < dialplan_calls.DEEPEST:
            return replace(spot, path=(*spot.path, 0))
        if name in _LOOPS and spot.path[-1:] != (-1,):
            return self.matching(spot, *_LOOPS[name])
        return self.next(spot) if name == "endif" or self.folds(application, data) else None

    def comes_back(self, spot: Spot) -> bool:
        """Whether a subroutine ends here."""
        doing = self.doing(spot)
        macro = bool(spot.stack) and spot.stack[-1].macro and spot.stack[-1].home == spot.place.home
        return macro if doing is None else doing[0].lower() in ("return", "macroexit")

    def folds(self, application: str, data: str) -> bool:
        """Whether a step is not worth a box."""
        name = application.lower()
        if name in ("gotoif", "gotoiftime") or name in dialplan_calls.CONDITIONAL:
            return dialplan_calls.jumps(application, data)[1:] == (None, None)
        return all(
            name.lower() in flow_words.FOLDED and not dialplan_calls.subroutines(name, inner)
            for name, inner in dialplan_calls.within(application, data)
        ) and not any(self.entered(application, data))

    def entered(self, application: str, data: str) -> list[dialplan.Entered]:
        return list(dialplan.node_calls(application, data, self.doors))

    def matching(self, spot: Spot, begins: tuple[str, ...], ends: tuple[str, ...], way: int) -> Spot:
        """The step behind the end of a While or If, or its beginning; also behind the end of the dialplan."""
        depth, place = 0, spot.place
        while (one := self.places.priority(place := replace(place, number=place.number + way))) is not None:
            name = one.application.lower()
            if name in (ends if way > 0 else begins) and depth == 0:
                return Spot(place=replace(place, number=place.number + (way > 0)), exten=spot.exten, stack=spot.stack)
            depth += (name in begins) - (name in ends) if way > 0 else (name in ends) - (name in begins)
        return replace(spot, place=place, path=())

    def known(self, spot: Spot, target: Target) -> Target:
        """The target with the call's own extension; a pattern counts where the other context has it too."""
        if target.exten != _EXTEN:
            return target
        there = self.places.variants(target.context or spot.place.context, spot.exten)
        return replace(target, exten=spot.exten) if there or not spot.exten.startswith("_") else target

    def leads(self, spot: Spot, target: Target, depth: int) -> "Spot | int":
        """Where a jump leads: a spot, or a step that says why that cannot be told."""
        target = self.known(spot, target)
        context, exten = target.context or spot.place.context, target.exten
        if any(map(dialplan_calls.computed, (context, exten, target.priority))) or not target.priority:
            return self.computed(spot, target, depth)
        if exten is None:
            extension = self.places.extension(spot.place)
            variants: tuple[Found, ...] = (Found(home=spot.place.home, at=spot.place.at, extension=extension),)
        else:
            exten = exten[:LONGEST_EXTEN]
            variants = self.places.variants(context, exten)
        if not variants:
            return self.missing(context, exten or "", target.priority)
        labelled = [one for one in variants if any(step.label == target.priority for step in one.extension.priorities)]
        variants = tuple(labelled) or variants
        found = [
            Spot(place=place, exten=spot.exten if exten is None else exten, stack=spot.stack)
            for one in variants
            if (place := self.places.numbered(one, context, target.priority, now=spot.place.number)) is not None
        ]
        if len(found) > 1:
            return self.callers(found, depth)
        return found[0] if found else self.missing(context, exten or spot.exten, target.priority)

    # --- steps that stand for what is not there ---

    def shown(self, spot: Spot) -> str:
        place = spot.place
        home = "" if place.home == place.context else f" (of {place.home})"
        return f"{place.context},{self.places.extension(place).name},{place.number}{home}"

    def more(self, spot: Spot) -> int:
        place = spot.place
        name = self.places.extension(place).name
        lines: tuple[str, ...] = (flow_words.clipped(f"{place.context},{name}"),)
        if (place.home, place.at) in self.reach:
            lines += ("SMS nodes further on",)
        step = Step(kind=Kind.MORE, title="…", lines=lines, place=self.shown(spot))
        return self.add(("more", place.context, place.home, place.at), step)

    def missing(self, context: str, exten: str, priority: str) -> int:
        switch = self.places.switched(context)
        place = f"{context},{exten},{priority}"
        kind, title = (Kind.COMPUTED, "perhaps in a switch") if switch else (Kind.MISSING, "no such place")
        lines = tuple(flow_words.clipped(line) for line in (place, switch) if line)
        return self.add(("missing", place), Step(kind=kind, title=title, lines=lines, place=place))

    def computed(self, spot: Spot, target: Target, depth: int) -> int:
        key = ("computed", spot.place, spot.path, target.shown)
        if key in self.ids:
            return self.ids[key]
        lines = (flow_words.clipped(target.shown),)
        made = self.add(key, Step(kind=Kind.COMPUTED, title="Goto", lines=lines, place=self.shown(spot)))
        context = target.context or spot.place.context
        if target.exten is not None and not dialplan_calls.computed(context):
            self.later.append(lambda: self.guess(made, spot, target, depth))
        return made

    def guess(self, source: int, spot: Spot, target: Target, depth: int) -> None:
        """Where a computed extension may lead: to what leads to a node, and to any digit where Read asked for it."""
        context = target.context or spot.place.context
        steps = self.places.extension(spot.place).priorities
        read = {f"${{{one.data.partition(',')[0]}}}" for one in steps if one.application.lower() == "read"}
        names = {
            one.name
            for home in self.places.reach(context)
            for at, one in enumerate(home.extensions)
            if ((home.name, at) in self.reach or (target.exten in read and DIALLED.fullmatch(one.name)))
            and one.name not in flow_reach.SPECIAL
        }
        self.fan(source, context, names, depth + 1, sure=False)

    def callers(self, spots: list[Spot], depth: int) -> int:
        key = ("callers", *(spot.place for spot in spots), spots[0].stack)
        made = self.add(key, Step(kind=Kind.CHOICE, title="who calls?", place=self.shown(spots[0])))
        for spot in spots:
            whom = caller(self.places.extension(spot.place))
            self.later.append(functools.partial(self.follow, made, spot, depth, whom))
        return made

    def follow(self, source: int, spot: Spot, depth: int, label: str = "", *, aside: bool = False) -> None:
        """A way from a step to what comes at a spot."""
        self.edge(source, self.arrive(spot, depth), label, aside=aside)


def _begins(extension: dialplan.Extension) -> bool:
    """Whether a call can come to its beginning."""
    return any(one.number == 1 for one in extension.priorities)


def caller(extension: dialplan.Extension) -> str:
    """For whom an extension is."""
    return "others" if extension.caller is None else f"caller {extension.caller}" if extension.caller else "no number"


def named(found: Found) -> str:
    """An extension on a way that leads to it."""
    name = flow_words.clipped(found.extension.name)
    return name if found.extension.caller is None else f"{name} ({caller(found.extension)})"
