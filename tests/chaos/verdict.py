"""Four lists and what happened meanwhile: what was lost, doubled, kept waiting, or told wrongly. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos import lists, plan, windows

HOLD_BUDGET_MS = 150 + 350  # the outbox, then the spool
WATCHDOG_MS = 2000
UNSYNCED = 1.5  # seconds: Asterisk writes AstDB to the disk one second after the first change, in a transaction
IN_THE_NODE = 4.0  # seconds: whoever went in longer ago is out, by the watchdog
CDR_LATE = 10.0  # seconds from the dialplan's last step to its record, for who stays on the line until then
A_MOMENT = 1.0  # seconds
MAX_AGE = 4.0  # seconds, of node brief
LATE_SEND = MAX_AGE + 1.5  # the dialplan's record has whole seconds
DOUBT = ("uncertain", "")  # of an attempt; "": the gateway was killed before the answer came
CERTAIN = {"failed", "expired", "skipped", "cancelled", "scheduled", "waiting"}  # these say that nothing went out
OPEN = {"scheduled", "waiting", "sending", "uncertain"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is not as it has to be, and for which call, visit or message."""

    what: str
    of: str


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What happened meanwhile, and what is allowed for a busy machine."""

    happened: tuple[windows.Happened, ...]
    serving: windows.Windows
    allowance_ms: float


@dataclass(kw_only=True)
class Verdict:
    """The findings; what was counted; how long visits were held, in ms: while the gateway served, and otherwise."""

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    held: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)


def judge(all_lists: lists.Lists, circumstances: Circumstances) -> Verdict:
    """Compare everything with everything."""
    judge_ = _Judge(all_lists, circumstances)
    judge_.calls()
    judge_.visits()
    judge_.messages()
    judge_.once()
    return judge_.verdict


class _Judge:
    def __init__(self, all_lists: lists.Lists, circumstances: Circumstances) -> None:
        self.lists, self.around, self.verdict = all_lists, circumstances, Verdict()
        self.kills = [one for one in circumstances.happened if one.name == "asterisk-kill"]
        self.away = [one for one in circumstances.happened if one.name in ("asterisk-kill", "asterisk-restart")]
        self.rows: dict[str, list[lists.Row]] = defaultdict(list)
        for row in all_lists.rows:
            self.rows[row.mark].append(row)
        self.left = {one.mark: one.left for one in all_lists.visits if one.left is not None}
        self.taken = Counter(one.mark for one in all_lists.asked if one.taken)

    def found(self, what: str, of: str) -> None:
        self.verdict.findings.append(Finding(what=what, of=of))

    # --- calls ---

    def calls(self) -> None:
        counts, visited = self.verdict.counts, {visit.call for visit in self.lists.visits}
        counts["calls made"] = len(self.lists.made)
        counts["calls in the dialplan"] = len(visited)
        ended = {lists.call_of(run) for run in self.lists.ended}
        counts["calls at the dialplan's end"] = len(ended)
        for call in visited - {made.call for made in self.lists.made}:
            self.found("a call that nobody made", call)
        for made in self.lists.made:
            if not made.stays:
                continue
            away = _any_meets(self.away, made.at - A_MOMENT, made.until + A_MOMENT)
            if made.call not in visited:
                self._unless(
                    away, "calls that Asterisk was not there for", "a call never came to the dialplan", made.call
                )
            elif made.call not in ended:
                self._unless(away, "calls that ended with Asterisk", "a call did not go on", made.call)
            elif made.status != 486 and not away:
                self.found("a call went on, and the caller did not hear of it", made.call)
        stay = {made.call for made in self.lists.made if made.stays}
        for run, at in self.lists.ended.items():
            last = self.lists.recorded.get(run)
            if last is None:
                killed = _any_struck(self.kills, at, at + CDR_LATE)  # what had not been written yet went with it
                self._unless(killed, "ended calls without a CDR, Asterisk killed", "an ended call has no CDR", run)
            elif last != "Hangup" and lists.call_of(run) in stay:
                self.found("the CDR has an ended call elsewhere", f"{run} in {last}")

    def _unless(self, excuse: bool, counted: str, finding: str, of: str) -> None:
        if excuse:
            self.verdict.counts[counted] += 1
        else:
            self.found(finding, of)

    # --- visits ---

    def visits(self) -> None:
        stays = {made.call for made in self.lists.made if made.stays}
        for visit in self.lists.visits:
            self.verdict.counts["visits"] += 1
            self._way(visit, stays=visit.call in stays)
            self._stored(visit)
        marks = {visit.mark: visit for visit in self.lists.visits}
        for mark, rows in self.rows.items():
            if mark not in marks or not marks[mark].reached:
                self.found("a message of a visit that there was not", f"{mark} {rows[0].id}")

    def _way(self, visit: lists.Visit, *, stays: bool) -> None:
        counts = self.verdict.counts
        if visit.went_on is not None:
            counts[f"visits told {visit.status or 'nothing'}"] += 1
            if visit.status not in ("SCHEDULED", "SKIPPED", "MISSED", "RECORDED"):
                self.found(f"a visit was told {visit.status or 'nothing'}", visit.mark)
            self._time(visit, visit.went_on)
        elif visit.hung_up is not None:
            counts["visits that the caller left"] += 1
            if stays and not _any_meets(self.away, visit.entered, visit.hung_up):
                self.found("a caller who stays was sent away in the node", visit.mark)
        else:
            killed = _any_struck(self.kills, visit.entered, visit.entered + IN_THE_NODE)
            self._unless(killed, "visits that ended with Asterisk killed", "a visit never came back", visit.mark)

    def _time(self, visit: lists.Visit, went_on: float) -> None:
        took = (went_on - visit.entered) * 1000
        served = self.around.serving.contain(visit.entered, went_on)
        (self.verdict.held if served else self.verdict.waited).append(took)
        limit = HOLD_BUDGET_MS if served else WATCHDOG_MS
        if took > limit + self.around.allowance_ms:
            which = "the hold budget while the gateway served" if served else "the watchdog"
            self.found(f"a visit took longer than {which}", f"{visit.mark} {took:.0f} ms, {visit.status}")

    def _stored(self, visit: lists.Visit) -> None:
        rows = self.rows.get(visit.mark, [])
        if len(rows) > 1:
            self.found("a visit is there twice", f"{visit.mark} {' '.join(row.id for row in rows)}")
        if rows:
            return
        last, lives = visit.left or visit.entered, visit.left is not None
        if not visit.reached:
            self.verdict.counts["visits left before the node's first priority"] += 1
        elif not lives and _any_struck(self.kills, visit.entered, visit.entered + IN_THE_NODE):
            self.verdict.counts["excepted: in the node when Asterisk was killed"] += 1
        elif _any_struck(self.kills, last, last + UNSYNCED):
            self.verdict.counts["excepted: written down within the last second of an Asterisk killed"] += 1
        elif not visit.named:
            self.found("lost: the caller left in the subroutine's first lines", visit.mark)
        else:
            self.found("lost", f"{visit.mark} {visit.node} {visit.status or 'hung up'}")

    # --- messages ---

    def messages(self) -> None:
        known = {row.id: row for row in self.lists.rows}
        for one in self.lists.asked:
            if one.ref not in known or known[one.ref].mark != one.mark:
                self.found("the provider has what the history has not", f"{one.mark} {one.ref}")
            elif known[one.ref].node == "brief" and one.at > self.left.get(one.mark, one.at) + LATE_SEND:
                self.found("sent when it was too old", f"{one.mark} {one.ref}")
        for row in self.lists.rows:
            self.verdict.counts[f"messages {row.status}"] += 1
            self._status(row, self.taken[row.mark], self.lists.outcomes.get(row.id, ()))
        self.verdict.counts["requests that the provider had"] = len(self.lists.asked)
        self.verdict.counts["SMS that the provider sent"] = self.taken.total()

    def _status(self, row: lists.Row, taken: int, outcomes: Sequence[str]) -> None:
        of = f"{row.mark} {row.id} {row.node} {row.status} {row.reason or ''} {','.join(outcomes)}"
        doubts = sum(outcome in DOUBT for outcome in outcomes)
        if row.status in OPEN:
            self.found("not settled at the end", of)
        if row.status == "accepted" and not taken:
            self.found("accepted, and the provider has it not", of)
        if row.status in CERTAIN and taken:
            self.found("went out, and the history says that it did not", of)
        if row.status == "failed" or (row.status == "expired" and row.node != "brief"):
            self.found(f"{row.status} without a reason to", of)
        if row.status == "skipped" and (row.node, row.reason) != ("once", "duplicate_in_call"):
            self.found("skipped without a reason to", of)
        if row.status == "held" and not doubts:
            self.found("held without a doubt", of)
        if taken > 1:
            self.verdict.counts["SMS doubled"] += 1
            if row.node != "resend":
                self.found("doubled", of)
            elif taken > doubts + (outcomes[-1] not in DOUBT):
                self.found("doubled without having been in doubt", of)

    def once(self) -> None:
        per_run: dict[str, list[lists.Row]] = defaultdict(list)
        for row in self.lists.rows:
            if row.node == plan.NODES[plan.ONCE]:
                per_run[row.mark.rpartition(".")[0]].append(row)
        for call, rows in per_run.items():
            sent = [row for row in rows if row.status != "skipped"]
            if len(sent) != 1:
                self.found(f"once_per_call: {len(sent)} messages of one call", call)
            if sum(self.taken[row.mark] for row in rows) > 1:
                self.found("once_per_call: more than one SMS of one call", call)


def _any_meets(happened: Iterable[windows.Happened], begin: float, end: float) -> bool:
    return any(one.began <= end and begin <= one.ended for one in happened)


def _any_struck(happened: Iterable[windows.Happened], begin: float, end: float) -> bool:
    return any(one.began <= end and begin <= one.struck for one in happened)


def summary(findings: Iterable[Finding]) -> Mapping[str, list[str]]:
    """The findings by kind."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in findings:
        found[one.what].append(one.of)
    return found
