"""What the command line says of messages: their status in words, and the whole story of one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from rich import console
from rich.text import Text

from agi_sms import call, message, numbers, plain, ports, show_attempts, show_why, text
from agi_sms.message import Reason, Status
from agi_sms.ports import ContentState

COLOURS = {
    Status.WAITING: "cyan",
    Status.SCHEDULED: "cyan",
    Status.SENDING: "cyan",
    Status.ACCEPTED: "green",
    Status.DELIVERED: "bold green",
    Status.FAILED: "bold red",
    Status.EXPIRED: "red",
    Status.UNCERTAIN: "yellow",
    Status.HELD: "bold yellow",
    Status.CANCELLED: "dim",
    Status.SKIPPED: "dim",
}

REASONS = {
    Reason.CALLER_WITHHELD: "the caller withheld the number (or nobody said that it may be shown)",
    Reason.CALLER_INVALID: "the caller's number is no phone number under this trunk's number_format",
    Reason.LANDLINE: "the caller's number is a landline",
    Reason.NOT_MOBILE: "the caller's number is no mobile's (premium rate, toll-free, a pager, satellite, or the like)",
    Reason.COUNTRY: "the caller's number is of a country that is not among the node's caller_countries",
    Reason.RECIPIENT_INVALID: "what the dialplan's recipients= or the node's API named is no phone number",
    Reason.DUPLICATE_IN_CALL: "this recipient already has one from this node in this call (once_per_call)",
    Reason.CAPPED: "the node's limits were reached",
    Reason.CONDITION: "the node's when does not fit this call: see the call's variables",
    Reason.BAD_ARGUMENT: "the dialplan's delay= or sender= was not usable",
    Reason.EMPTY_CONTENT: "the text came out empty",
    Reason.CONTENT_ERROR: "the text's template failed, or the node's API answered something that cannot be used",
    Reason.CONTENT_TIMEOUT: "the node's API did not answer in time",
    Reason.CONTENT_UNREACHABLE: "the node's API could not be reached, broke off, or was left alone after such faults",
    Reason.CONTENT_REFUSED: "the node's API answered with another HTTP status than 2xx",
    Reason.CONTENT_UNREADABLE: "the node's API answered something else than the node's content.api.response says",
    Reason.CONTENT_MISSING: "the node's API answered without a text where content.api.message says",
    Reason.CONTENT_REMOVED: "the configuration no longer has the node whose API was to be asked",
    Reason.DECLINED: "the node's API answered send: false",
    Reason.NO_ROUTE: "the node's route has no entry for this number (routes)",
    Reason.NO_RECIPIENT: "nobody was named: not by the node, nor the dialplan's recipients=, nor the node's API",
    Reason.TOO_LONG: "the text needs more segments than max_segments allows",
    Reason.TOO_OLD: "older than max_age when it could have been sent",
    Reason.REJECTED: "the provider refused it for good",
    Reason.GAVE_UP: "every retry was used up",
    Reason.CRASHED: "the gateway died between handing it over and hearing the answer",
    Reason.UNANSWERED: "after the message was handed over, no answer came that says whether it was taken",
    Reason.POISON: "taken up again and again without ever ending",
    Reason.PROVIDER_MISSING: "the configuration no longer has its provider",
    Reason.NODE_MISSING: "its route leads nowhere, and the configuration no longer has its node, to get one from",
    Reason.UNDELIVERED: "the provider reports that it never reached the phone",
    Reason.OPERATOR: "an operator said so",
}

SOURCES = {
    message.Source.CONFIG: "configured in the node",
    message.Source.GROUP: "in a configured group",
    message.Source.DIALPLAN: "named by the dialplan",
    message.Source.CALLER: "the caller",
    message.Source.API: "named by the node's API",
    message.Source.OPERATOR: "named on the command line",
}

ENTRIES = {
    call.Entry.ARI: "came in over ARI",
    call.Entry.AGI: "came in over FastAGI",
    call.Entry.AMI: "came in over AMI",
    call.Entry.ASTDB: "missed at the time, found in the PBX's database",
    call.Entry.TRIGGER: "made on the command line",
}

CONTENT = {
    ContentState.OPEN: "not known yet",
    ContentState.ANSWERED: "answered",
    ContentState.FALLBACK: "not answered: the node's fallback goes out",
    ContentState.SKIPPED: "nothing is to be sent",
    ContentState.HELD: "not answered: a person decides",
    ContentState.DROPPED: "nobody waits for it any more",
}


def to(recipient: str, reason: Reason | None) -> str:
    """Who gets it, or why nobody can be named."""
    if recipient:
        return safe(recipient)
    if reason is Reason.CALLER_WITHHELD:
        return "(withheld)"
    return "(to be named)" if reason is None else "(nobody named)"


safe, local, said = plain.safe, plain.local, plain.said

FETCHING, FALLBACK, OVERDUE = "(to be fetched)", " (fallback)", " (receipt overdue)"  # beside a status
_MOST_LINES, _WIDEST_LINE = 8, 160  # of an answer


def fetching(one: message.Message) -> bool:
    """Whether it has no text yet."""
    return one.status is Status.WAITING and one.text is None


def short(at: datetime) -> str:
    """A time in the zone that is shown; the year only where it is not this one."""
    shown = plain.there(at)
    return shown.strftime("%m-%d %H:%M:%S" if shown.year == plain.there(datetime.now(UTC)).year else "%Y-%m-%d %H:%M")


def state(one: message.Message) -> str:
    """Its status, with what there is to say beside it."""
    overdue = OVERDUE if one.receipt_overdue(datetime.now(UTC)) else ""
    return _standing(one) + overdue + (FALLBACK if one.fallback else "")


def _standing(one: message.Message) -> str:
    if one.status is Status.SCHEDULED and one.due_at is not None:
        due, today = plain.there(one.due_at), plain.there(datetime.now(UTC)).date()
        return f"scheduled for {due.strftime('%H:%M:%S') if due.date() == today else short(one.due_at)}"
    return f"{one.status}: {one.reason}" if one.reason else str(one.status)


def explain(out: console.Console, story: ports.Story, facts: show_why.Facts | None = None) -> None:
    """One message's whole story, and what is known beside it."""
    for line in _story(story, facts):
        out.print(line)


def _story(story: ports.Story, facts: show_why.Facts | None) -> Iterator[Text]:
    """Line by line; nothing in them is markup, as much of it comes from strangers."""
    one = story.message
    yield Text.assemble("Message ", (one.id, "bold"), "  ", (state(one), COLOURS[one.status]))
    yield from _facts(
        ("because", _because(story)),
        ("to", _whom(one)),
        ("sender", one.sender or "(the provider decides)"),
        ("text", FETCHING if fetching(one) else "(none)" if one.text is None else f"“{one.text}”"),
        ("", "" if one.text is None else sized(one.text, one.encoding, one.segments)),
        *_due(one),
        ("route", ", then ".join(one.route)),
        ("cost", show_attempts.costs(one)),
        ("receipt", _expected(one, story)),
        *_beside(one, facts),
    )
    yield _head("The call")
    yield from _facts(*_call(story))
    if story.content is not None:
        yield _head("The text")
        yield from _facts(*_content(story.content, one.reason))
    yield _head("The activation's messages")
    for sibling in sorted((one, *story.siblings), key=lambda m: m.id):
        mark = "  ← this one" if sibling.id == one.id else ""
        yield Text(f"  {sibling.id}  {_whom(sibling)}: {state(sibling)}{mark}")
    yield _head("Attempts")
    passed = show_why.passed_over(story)
    for attempt in story.attempts:
        yield from show_attempts.lines(attempt, passed.get(attempt.id, ()))
    if not story.attempts:
        yield Text("  none")
    if story.events:
        yield _head("What people did")
    for event in story.events:
        yield Text(f"  {local(event.at)}  {safe(event.who)}: {safe(event.what)}")
    if one.status in (Status.HELD, Status.UNCERTAIN):
        yield from map(Text, _next(story))


def _next(story: ports.Story) -> Iterator[str]:
    """What a person may do; first what does no harm."""
    one = story.message
    asks = " (asks for the text again)" if story.content is not None and one.text is None else ""
    known = f"agi-sms resolve {one.id} sent|resend|fail, where you know what became of it"
    if one.maybe_taken:
        yield f"\nNext: {known}"
        yield f"      agi-sms retry {one.id} (it may arrive twice)   or   agi-sms cancel {one.id}"
    else:
        yield f"\nNext: agi-sms retry {one.id}{asks}   or   agi-sms cancel {one.id}"
        yield f"      {known}"


def _due(one: message.Message) -> Iterator[tuple[str, str]]:
    """When it was due first, and when it is tried next."""
    if one.status is Status.SKIPPED:
        return
    yield "due", f"{local(one.first_due_at or one.due_at)}, not after {local(one.expires_at)}"
    if one.attempts and one.due_at is not None and one.status is Status.SCHEDULED:
        yield "next try", local(one.due_at)
    elif one.due_at is not None and one.status is Status.UNCERTAIN:
        yield "decided", f"{local(one.due_at)}, where no receipt says before what became of it"


def _beside(one: message.Message, facts: show_why.Facts | None) -> Iterator[tuple[str, str]]:
    if facts is None:
        return
    now = datetime.now(UTC)
    yield "waits", show_why.waiting(one, facts, now)
    for line in show_why.receipts(one, facts, now):
        yield "", line


def _expected(one: message.Message, story: ports.Story) -> str:
    """Until when a receipt was or is to come."""
    if one.status is Status.ACCEPTED and any(event.what == ports.Verdict.SENT for event in story.events[-1:]):
        return "none is waited for, as a person said that it was sent"
    if one.status is not Status.ACCEPTED or one.receipt_due_at is None:
        return ""
    word = "overdue since" if one.receipt_overdue(datetime.now(UTC)) else "expected until"
    return f"{word} {local(one.receipt_due_at)}"


def sized(body: str, encoding: message.Encoding, segments: int) -> str:
    """How a text travels, and how long it is."""
    return f"{encoding}, {text.counted(segments, 'segment')}, {text.counted(len(body), 'character')}"


def _because(story: ports.Story) -> str:
    """The reason in a sentence, and where more of it is told."""
    reason = story.message.reason
    if reason is None:
        return ""
    if story.content is not None and story.content.reason is reason:
        return f"{reason}: {REASONS[reason]} (see below)"
    if reason is Reason.BAD_ARGUMENT and (told := show_why.bad_arguments(story.visit)):
        return told
    return REASONS[reason] + ("; see the log" if reason in {Reason.BAD_ARGUMENT, Reason.CONTENT_ERROR} else "")


def _head(title: str) -> Text:
    return Text.assemble("\n", (title, "bold"))


def _facts(*facts: tuple[str, str]) -> Iterator[Text]:
    """Those that have a value, one below the other."""
    for name, value in facts:
        if value:
            indented = safe(value).replace("\n", "\n" + " " * 13)
            yield Text(f"  {safe(name):<9} {indented}")


def _call(story: ports.Story) -> Iterator[tuple[str, str]]:
    visit = story.visit
    at = visit.call
    held = ""
    if story.returned_at is not None:
        took = story.returned_at - visit.arrived_at
        held = f", back in the dialplan after {took / timedelta(milliseconds=1):.0f} ms"
        if took < timedelta(0):
            held = ", had left the node (watchdog or hangup) before the gateway saw it"
    yield "arrived", f"{local(visit.arrived_at, precise=True)}, {ENTRIES[visit.entry]}{held}"
    yield "node", visit.node + (f" (revision {story.node_revision})" if story.node_revision else "")
    named = f", name “{at.caller_name}”" if at.caller_name else ""
    yield "caller", f"{at.caller or '(none)'}, presentation {at.presentation or 'not told'}{named}"
    yield "dialled", at.dialled
    yield "diverted", at.diverted_from
    yield "pbx", f"{at.pbx}{f', trunk {at.trunk}' if at.trunk else ''}, channel {at.channel_id or '(none)'}"
    yield "ids", f"call {at.call_id}, linkedid {at.linkedid or '(none)'}, visit {visit.id}"
    wishes = (("recipients", visit.recipients), ("sender", visit.sender), ("delay", visit.delay))
    yield "asked", ", ".join(f"{name}={value}" for name, value in wishes if value is not None)
    for name, value in at.variables.items():
        yield f"var {name}", value


def _content(content: ports.ContentStory, told: Reason | None) -> Iterator[tuple[str, str]]:
    """How the text was got, or not yet. The reason that is `told` already is not explained again."""
    until = f", until {local(content.ended_at, precise=True)}" if content.ended_at is not None else ""
    yield "is", CONTENT[content.state]
    yield "asked", text.counted(content.tries, "time") + until
    if content.state is ContentState.OPEN:
        yield "next try", local(content.next_at)
    if content.reason is not None and content.reason is not told:
        yield "why", f"{content.reason}: {REASONS[content.reason]}"
    yield "said", said(content.code, content.detail)
    lines = [line for line in content.excerpt.expandtabs(2).splitlines() if line.strip()]
    shown = [line if len(line) <= _WIDEST_LINE else line[: _WIDEST_LINE - 1] + "…" for line in lines[:_MOST_LINES]]
    yield "answer", "\n".join(shown + ["…"] * (len(lines) > _MOST_LINES))


def _whom(one: message.Message) -> str:
    """Who gets it, and who said so."""
    number = safe(numbers.shown(one.recipient)) if one.recipient else to("", one.reason)
    return number if not one.recipient and one.source is message.Source.CONFIG else f"{number}, {SOURCES[one.source]}"
