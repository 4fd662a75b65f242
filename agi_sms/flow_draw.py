"""A flow out of a dialplan: what each step looks like, and what comes behind it. Pure."""

import difflib
import functools
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace

from agi_sms import dialplan, dialplan_calls, errors, flow_reach, flow_words, harmless
from agi_sms.dialplan_calls import Subroutine, Target, Transfer
from agi_sms.dialplan_places import DIALLED, Found, Places
from agi_sms.flow import DEPTH, Flow, Kind, Step
from agi_sms.flow_walk import Spot, Walk, named

_BY_ITSELF = {"h": "when the call ends", "T": "at the absolute time-out", "e": "after an error"}
_VOICEMAIL_KEYS = {"o": "0", "a": "*"}
_CONDITIONS = frozenset({"gotoif", "gotoiftime", "gosubif", "macroif", "execif", "execiftime", "while", "if", "elseif"})
_GUARD = "DIALPLAN_EXISTS("


class NoSuchPlace(errors.AgiSmsError):
    """The dialplan has no such context or extension."""


def draw(
    plan: dialplan.Dialplan,
    context: str,
    *,
    exten: str | None = None,
    cards: Mapping[str, tuple[str, ...]],
    doors: dialplan.Doors | None = None,
    depth: int = DEPTH,
) -> Flow:
    """The flow from a context on, from one of its extensions or from all; raises NoSuchPlace.

    `cards` are the configuration's nodes, by name, with what is shown of each; `doors` is by which ways it hears of
    calls, all where None. `depth` counts jumps.
    """
    places = Places(plan)
    if context not in plan.contexts:
        raise NoSuchPlace(f"the dialplan has no context {_shown(context)}; {_near(context, plan.contexts)}")
    if exten is not None and not places.variants(context, exten):
        names = [one.name for home in places.reach(context) for one in home.extensions]
        raise NoSuchPlace(f"{harmless.clipped(context, 80)} has no extension {_shown(exten)}; {_near(exten, names)}")
    return _Drawing(places, cards, doors or dialplan.Doors(nodes=cards), depth).flow(context, exten)


def _shown(name: str) -> str:
    return repr(harmless.clipped(name, 80))


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    shown = ", ".join(harmless.clipped(one, 80) for one in close or names[:20])
    more = ", ..." if not close and len(names) > 20 else ""
    return f"{'near it' if close else 'there are'}: {shown}{more}" if names else "there is none"


class _Drawing(Walk):
    """One flow."""

    def __init__(self, places: Places, cards: Mapping[str, tuple[str, ...]], doors: dialplan.Doors, depth: int) -> None:
        super().__init__(places, cards, doors, depth)
        self.digits: dict[str, frozenset[str]] = {}  # what can be dialled in each context

    def flow(self, context: str, exten: str | None) -> Flow:
        """All of it, from the entry on."""
        entry = self.add("entry", Step(kind=Kind.ENTRY, title=flow_words.clipped(context), place=context))
        self.contexts[context] = None
        self.enter(entry, context, "s" if exten is None else exten)
        self.drain()
        if exten is None:
            names = {one.name for home in self.places.reach(context) for one in home.extensions}
            self.fan(entry, context, names - flow_reach.SPECIAL - {"s"}, 0, fresh=True)
            self.drain()
        drawn: set[str] = set()
        while fresh := [name for name in self.contexts if name not in drawn]:
            drawn |= set(fresh)
            for name in fresh:
                self.by_itself(entry, name, context)
            self.drain()
        return Flow(title=context, steps=tuple(self.steps), edges=tuple(self.edges), whole=self.whole)

    def enter(self, entry: int, context: str, exten: str) -> None:
        """The extension that is drawn first, where there is one."""
        variants = self.places.variants(context, exten)
        for found in variants:
            label = named(found) if found.extension.name == exten or len(variants) > 1 else flow_words.clipped(exten)
            self.edge(entry, self.arrive(self.first(found, context, exten), 0), label)

    def by_itself(self, entry: int, context: str, start: str) -> None:
        """What happens when a call ends in a context, where that leads to a node."""
        for exten, when in _BY_ITSELF.items():
            for found in self.places.variants(context, exten):
                if self.reaches(found):
                    label = when if context == start else f"{when} in {flow_words.clipped(context)}"
                    target = self.arrive(self.first(found, context, exten), 1)
                    if not any(one.aside and (one.source, one.target) == (entry, target) for one in self.edges):
                        self.edge(entry, target, label, aside=True)

    # --- one step ---

    def drawn(self, key: Hashable, spot: Spot, depth: int) -> int:
        """Make the step of a spot; what comes behind it follows later."""
        doing = self.doing(spot)
        if self.comes_back(spot):
            return self.end(spot, "return")
        if doing is None:
            return self.end(spot, "the call ends")
        application, data = doing
        name = application.lower()
        if name == "gosubif" and _GUARD in data:
            _, yes, no = dialplan_calls.jumps(application, data)
            if yes is not None and no is None and yes.context in dialplan.OURS:
                return self.run(spot, Subroutine(target=yes), depth, key=key)
        if name == "gosub" or name in dialplan_calls.MACROS:
            return self.run(spot, dialplan_calls.subroutines(application, data)[0], depth, key=key)
        bare = dialplan.of_bare(application, data, self.doors)
        if bare is not None:
            return self.node(key, spot, bare, depth)
        if name in _CONDITIONS and len(spot.path) < dialplan_calls.DEEPEST:
            made = self.add(key, self.step(Kind.CHOICE, _question(name, data), spot))
            self.later.append(functools.partial(self.choose, made, spot, application, data, depth))
        elif name in flow_words.MENUS:
            made = self.menu(key, spot, depth)
        elif dialplan.perhaps(application, data, self.doors) is not None:
            lines = (*flow_words.said(application, data), flow_words.PERHAPS)
            made = self.add(key, self.step(Kind.COMPUTED, application, spot, lines))
            self.later.append(functools.partial(self.follow, made, self.next(spot), depth))
        elif name in flow_words.ENDS:
            made = self.add(key, self.step(Kind.END, application, spot, flow_words.said(application, data)))
        else:
            made = self.application(key, spot, application, data, depth)
        return made

    def step(self, kind: Kind, title: str, spot: Spot, lines: tuple[str, ...] = ()) -> Step:
        one = self.places.priority(spot.place)
        return Step(
            kind=kind,
            title=flow_words.clipped(title, flow_words.LONGEST_CONDITION),
            lines=lines,
            before=self.before(spot),
            place=self.shown(spot),
            source=f"{one.file}:{one.line}" if one is not None and one.file else "",
        )

    def before(self, spot: Spot) -> str:
        """The steps right before this one that are not drawn."""
        passed: list[str] = []
        place = spot.place if not spot.path else None
        while place is not None:
            place = replace(place, number=place.number - 1)
            one = self.places.priority(place)
            if one is None or not self.folds(one.application, one.data):
                break
            passed.append(one.application)
        return flow_words.folded(reversed(passed))

    def end(self, spot: Spot, title: str) -> int:
        key = ("end", title, spot.place, spot.stack)
        return self.add(key, self.step(Kind.END, title, spot))

    def node(self, key: Hashable, spot: Spot, entered: dialplan.Entered, depth: int, *, onward: bool = True) -> int:
        """A node, behind which the call goes on at the next priority, where it is the call's own channel."""
        if key in self.ids:
            return self.ids[key]
        why = dialplan.closed(entered, self.places.plan, self.doors)
        title, lines, state, trouble = flow_words.entered(entered, self.cards, why)
        made = self.add(key, replace(self.step(Kind.SMS, title, spot, lines), state=state, trouble=trouble))
        _, data = self.doing(spot) or ("", "")
        if onward and dialplan.unloaded(entered.way, self.places.plan) and _GUARD not in data:
            self.later.append(lambda: self.edge(made, self.end(spot, "Asterisk hangs up")))
        elif onward:
            self.later.append(functools.partial(self.follow, made, self.next(spot), depth))
        return made

    def run(self, spot: Spot, one: Subroutine, depth: int, *, key: Hashable) -> int:
        """A subroutine that the call itself runs: a node, or a box with what leads to nodes drawn behind it."""
        entered = dialplan.of_subroutine(one)
        if entered is not None:
            return self.node(key, spot, entered, depth)
        if key in self.ids:
            return self.ids[key]
        target = self.known(spot, one.target)
        place = (target.context or "") if (target.exten, target.priority) == ("s", "1") else target.shown
        title = "Macro" if one.macro else "Gosub"
        place = place.removeprefix("macro-") if one.macro else place
        given = f"({', '.join(target.arguments)})" if target.arguments else ""
        kind = Kind.COMPUTED if target.computed else Kind.STEP
        made = self.add(key, self.step(kind, title, spot, (flow_words.clipped(place + given),)))
        self.later.append(functools.partial(self.into, made, spot, replace(one, target=target), depth))
        return made

    def into(self, made: int, spot: Spot, one: Subroutine, depth: int) -> None:
        """Behind a subroutine's box: its steps where they lead to a node, else what comes after it."""
        inner = None if one.target.computed else self.body(spot, one, self.next(spot), depth)
        if isinstance(inner, int):
            self.edge(made, inner)
        else:
            self.follow(made, self.next(spot) if inner is None else inner, depth + (inner is not None))

    def body(self, spot: Spot, one: Subroutine, back: Spot | None, depth: int) -> Spot | int | None:
        """Where a subroutine begins; None where no node is in it, or where it runs itself; a step if there is none."""
        ahead = self.leads(spot, one.target, depth)
        if isinstance(ahead, int):
            return ahead
        where = (ahead.place.home, ahead.place.at)
        if where not in self.reach or any((frame.home, frame.at) == where for frame in spot.stack):
            return None
        frame = self.frame(ahead, back, one.target.arguments, macro=one.macro)
        return replace(ahead, stack=(*spot.stack, frame))

    def application(self, key: Hashable, spot: Spot, application: str, data: str, depth: int) -> int:
        """An application, with what it runs on other legs or when the call ends."""
        title, lines = application, flow_words.said(application, data)
        subroutines = dialplan_calls.subroutines(application, data)
        if application.lower() in ("set", "mset"):
            title = "Hangup handler"
            lines = tuple(flow_words.clipped(one.target.context or one.target.shown) for one in subroutines)
        made = self.add(key, self.step(Kind.STEP, title, spot, lines))
        for number, one in enumerate(subroutines):
            self.later.append(functools.partial(self.leg, made, spot, one, depth, ("leg", number, key)))
        for sent in dialplan_calls.transfers(application, data):
            self.later.append(functools.partial(self.transfer, made, spot, sent, depth))
        if application.lower() == "voicemail":
            self.later.append(functools.partial(self.keys, made, spot, depth))
        onward = flow_words.goes_on(application, data)
        self.later.append(functools.partial(self.follow, made, self.next(spot), depth, onward))
        return made

    def leg(self, made: int, spot: Spot, one: Subroutine, depth: int, key: Hashable) -> None:
        """What an application runs elsewhere, where that leads to a node."""
        label = flow_words.THROUGH.get(one.through) or flow_words.THROUGH[one.through[-1]]
        entered = dialplan.of_subroutine(one)
        if entered is not None:
            self.edge(made, self.node(key, spot, entered, depth, onward=False), label, aside=True)
        elif not (target := self.known(spot, one.target)).computed and self.led(spot, target):
            inner = self.body(spot, replace(one, target=target), None, depth)
            if isinstance(inner, Spot):
                self.follow(made, inner, depth + 1, label, aside=True)
            elif inner is not None:
                self.edge(made, inner, label, aside=True)

    def transfer(self, made: int, spot: Spot, one: Transfer, depth: int) -> None:
        """Where Dial or Queue sends the caller, and the callee where that leads to a node."""
        target = self.known(spot, one.target)
        if one.option != "G" and not self.led(spot, target):
            return
        ahead = self.leads(spot, target, depth)
        if isinstance(ahead, int):
            label = "answered" if one.option == "G" else flow_words.TRANSFERS[one.option]
            self.edge(made, ahead, label, aside=one.option != "G")
            return
        callee = replace(ahead, stack=())
        if one.option == "G":
            self.follow(made, ahead, depth + 1, "answered")
            callee = self.next(callee)
        if self.led(spot, target):
            self.follow(made, callee, depth + 1, flow_words.TRANSFERS[one.option], aside=True)

    def led(self, spot: Spot, target: Target) -> bool:
        context, exten = spot.place.context, self.places.extension(spot.place).name
        return any(key in self.reach for key in flow_reach.led(self.places, context, exten, target))

    def keys(self, made: int, spot: Spot, depth: int) -> None:
        for exten, label in _VOICEMAIL_KEYS.items():
            for found in self.places.variants(spot.place.context, exten):
                if self.reaches(found):
                    inner = self.first(found, spot.place.context, exten, spot.stack)
                    self.follow(made, inner, depth + 1, label)

    # --- choices and menus ---

    def choose(self, made: int, spot: Spot, application: str, data: str, depth: int) -> None:
        """Both ways of a condition."""
        name = application.lower()
        ways: dict[str, int] = {}
        if name in ("gotoif", "gotoiftime"):
            for label, target in zip(("yes", "no"), dialplan_calls.jumps(application, data)[1:], strict=True):
                if target is not None:
                    ways[label] = self.jump(spot, target, depth)
        elif name in dialplan_calls.CONDITIONAL:
            for label, target in zip(("yes", "no"), dialplan_calls.jumps(application, data)[1:], strict=True):
                if target is not None:
                    key = (label, spot.place, spot.path, spot.stack)
                    ways[label] = self.run(spot, Subroutine(target=target, macro=name == "macroif"), depth, key=key)
        elif name in ("while", "if", "elseif"):
            ways["yes"] = self.arrive(self.next(spot), depth)
            ways["no"] = self.arrive(self.otherwise(spot, name), depth)
        else:
            for number, branch in enumerate(dialplan_calls.branches(application, data)):
                label = "yes" if branch.holds else "no"
                ways[label] = self.arrive(replace(spot, path=(*spot.path, number)), depth)
        for label in ("yes", "no"):
            self.edge(made, ways[label] if label in ways else self.arrive(self.next(spot), depth), label)

    def jump(self, spot: Spot, target: Target, depth: int) -> int:
        ahead = self.leads(spot, target, depth)
        if isinstance(ahead, int):
            return ahead
        same = (ahead.place.home, ahead.place.at) == (spot.place.home, spot.place.at)
        return self.arrive(ahead, depth + (not same))

    def otherwise(self, spot: Spot, name: str) -> Spot:
        """Where a While or an If goes on whose condition does not hold."""
        if name == "while":
            return self.matching(spot, ("while",), ("endwhile",), 1)
        depth, place = 0, spot.place
        while (one := self.places.priority(place := replace(place, number=place.number + 1))) is not None:
            word = one.application.lower()
            if depth == 0 and word in ("else", "elseif", "endif"):
                here = replace(spot, place=place, path=(-1,))
                return here if word == "elseif" else self.next(here)
            depth += (word == "if") - (word == "endif")
        return replace(spot, place=place, path=())

    def menu(self, key: Hashable, spot: Spot, depth: int) -> int:
        """Background and WaitExten in a row are one box, where the caller dials on."""
        lines: list[str] = []
        here = last = spot
        context, waits = spot.place.context, False
        while (doing := self.doing(here)) is not None:
            name = doing[0].lower()
            if name in flow_words.MENUS:
                lines += flow_words.said(*doing)
                context = flow_reach.menu_context(*doing) or context
                last, waits = here, name == "waitexten"
            elif not self.folds(*doing):
                break
            here = self.next(here)
        made = self.add(key, self.step(Kind.MENU, "Menu", spot, tuple(lines)))
        self.later.append(functools.partial(self.dial, made, last, context, depth, waits=waits))
        return made

    def dialled(self, context: str) -> frozenset[str]:
        """The extensions to which digits can lead."""
        if context not in self.digits:
            self.digits[context] = frozenset(
                one.name
                for home in self.places.reach(context)
                for one in home.extensions
                if DIALLED.fullmatch(one.name) or one.name.startswith("_")
            )
        return self.digits[context]

    def dial(self, made: int, last: Spot, context: str, depth: int, *, waits: bool) -> None:
        """What the digits lead to, and what happens without any."""
        names = self.dialled(context)
        self.fan(made, context, names, depth + 1)
        for found in self.places.variants(context, "i"):
            self.follow(made, self.first(found, context, "i", last.stack), depth + 1, "other keys")
        onward = self.next(last)
        late: tuple[Found, ...] = ()
        if waits and self.doing(onward) is None:
            late = self.places.variants(context, "t")
        for found in late:
            self.follow(made, self.first(found, context, "t", last.stack), depth + 1, "no key")
        if not late:
            self.follow(made, onward, depth, "no key" if names else "")


def _question(name: str, data: str) -> str:
    """A condition as it is asked."""
    if name in ("gotoif", "gotoiftime") or name in dialplan_calls.CONDITIONAL:
        asked = dialplan_calls.jumps(name, data)[0]
    else:
        branches = dialplan_calls.branches(name, data)
        asked = branches[0].condition if branches else data
    words = flow_words.times if name in ("gotoiftime", "execiftime") else flow_words.condition
    return words(asked) + "?"
