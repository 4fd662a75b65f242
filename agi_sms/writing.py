"""What a node's text comes to on one call, or why there is none. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agi_sms import call, errors, message, node, numbers, text
from agi_sms.message import Reason

_LARGEST_SEGMENT = 640  # characters, those included that plain letters leave out
_RAW = 40  # characters kept of what could not be read as a number


@dataclass(frozen=True, kw_only=True)
class Written:
    """The text for everybody, or the reason why there is none."""

    text: str | None
    encoding: message.Encoding = message.Encoding.GSM7
    segments: int = 0
    reason: Reason | None = None
    fault: str = ""
    ignored: str = ""


def write(
    template: text.Template,
    visit: call.Visit,
    target: node.Node,
    rules: numbers.Rules,
    more: Mapping[str, object] | None = None,
) -> Written:
    """Render a template of the node's for this call and measure it. A withheld caller's number and name stay out of it.

    `more` are further values by their names. A caller's name keeps the message from nobody: where the text is too
    long, or its template fails, it is tried again in plain letters, then without the name.
    """
    at = visit.call
    shown = {
        name: readable(raw, rules) if name in template.names else ""  # which takes as long as all the rest
        for name, raw in (("caller", at.caller), ("dialled", at.dialled), ("diverted_from", at.diverted_from))
    }
    if numbers.withheld(at.caller, at.presentation):
        at, shown["caller"] = replace(at, caller_name=""), ""

    def body(name: str) -> str:
        known = text.values(
            replace(visit, call=replace(at, caller_name=name)),
            node=target.name,
            description=target.description,
            time_zone=target.time_zone,
            **shown,
        )
        return template.render({**known, **(more or {})})

    first = _write(lambda: body(at.caller_name), target, plain=target.transliterate)
    if first.reason not in (Reason.TOO_LONG, Reason.CONTENT_ERROR):
        return first
    for name in dict.fromkeys((at.caller_name, "")):
        for plain in dict.fromkeys((target.transliterate, True)):
            written = _write(lambda name=name: body(name), target, plain=plain)  # type: ignore[misc]
            if written.reason is None:
                why = (
                    first.fault
                    or f"with it the text makes {text.counted(first.segments, 'segment')}, more than max_segments"
                )
                return replace(written, ignored="" if name == at.caller_name else f"caller_name is left out: {why}")
    return first


def take(body: str, target: node.Node) -> Written:
    """A text that somebody else wrote, measured; in plain letters where it would otherwise be too long."""
    first = _write(lambda: body, target, plain=target.transliterate)
    if first.reason is not Reason.TOO_LONG or target.transliterate:
        return first
    plain = _write(lambda: body, target, plain=True)
    return plain if plain.reason is None else first


def readable(raw: str, rules: numbers.Rules) -> str:
    """A number as E.164; where it is none, what of it a keypad has."""
    try:
        return numbers.read(raw, rules).e164
    except errors.NumberError:
        # whatever else is in it, a caller wrote, and it would go out in the operator's name
        return numbers.keyed(raw)[:_RAW]


def _write(body: Callable[[], str], target: node.Node, *, plain: bool) -> Written:
    try:
        raw = body()
    except errors.TextError as error:
        return Written(text=None, reason=Reason.CONTENT_ERROR, fault=str(error))
    most = _LARGEST_SEGMENT * target.max_segments
    if len(raw) > most:  # so far beyond that it is not even measured, which takes time
        why = f"the text has {len(raw)} characters, and max_segments: {target.max_segments} lets through {most} at most"
        return Written(text=None, reason=Reason.TOO_LONG, fault=why)
    sized = text.measure(raw, transliterate=plain)
    reason = None
    if not sized.text.strip():
        reason = Reason.EMPTY_CONTENT
    elif sized.segments > target.max_segments:
        reason = Reason.TOO_LONG
    return Written(text=sized.text, encoding=sized.encoding, segments=sized.segments, reason=reason)
