"""What a node says: its text, or how the customer's system is asked for it; compiled, and tried out."""

import difflib
import hashlib
import json
import urllib.parse
from dataclasses import dataclass
from datetime import timedelta

import pydantic

from agi_sms import config_book, durations, errors, loopback, node, text
from agi_sms.config_mistakes import Spot
from agi_sms.config_settings import Content
from agi_sms.config_words import nearest
from agi_sms.content import settings as content_settings


@dataclass(frozen=True, kw_only=True)
class Said:
    """A node's `content`, compiled. `key` is where its text stands, empty where the answer's message is the text.

    `file` names the template of templates.d. `canon` changes whenever anything in `content` does.
    """

    key: str
    spot: Spot
    template: text.Template | None
    asking: node.Asking | None
    api: content_settings.Api | None
    canon: str
    file: str = ""


def compile_content(entry: config_book.Entry) -> Said | None:
    """None where there are mistakes, which are then noted."""
    wanted = entry.settings.content
    if entry.lost("content"):
        return None
    if wanted is None:
        what = "is missing: write content: {text: ...}, content: {template: NAME} or content: {api: {url: ...}}"
        entry.wrong(what, below="content")
        return None
    if wanted.text is not None and wanted.template is not None:
        entry.wrong("holds both text and template; keep one of them", "content")
        return None
    key = "template" if wanted.template is not None else "text" if wanted.text is not None else ""
    if not key and wanted.api is None:
        what = "has a fallback and nothing to fall back from" if wanted.fallback is not None else "is empty"
        entry.wrong(f"{what}; give it a text or a template, or an api to ask", "content")
        return None
    asking, right = _asking(entry, wanted)
    spot = entry.spot("content", key) if key else entry.spot("content")
    template, source = None, ""
    if wanted.template is not None:
        found = _named(entry, wanted.template)
        if found is None:
            return None
        template, source, spot = found.template, found.source, found.spot
    elif wanted.text is not None:
        template, source = config_book.compiled(wanted.text, spot, "text", entry.book.mistakes), wanted.text
        if template is None:
            return None
    if template is not None and wanted.api is None and text.API in template.names:
        what = "api is the answer of your own system, and this node asks none: give it content.api"
        entry.wrong(f"{what}; a dialplan's variable of that name is var.api", "content", key)
        return None
    if template is not None and wanted.api is not None:
        right = _fitting(entry, wanted.api, template, key) and right
    if not right:
        return None
    return Said(
        key=key,
        spot=spot,
        template=template,
        asking=asking,
        api=wanted.api,
        canon=_canon(wanted, source),
        file=wanted.template or "",
    )


def _fitting(entry: config_book.Entry, api: content_settings.Api, template: text.Template, key: str) -> bool:
    """Whether such answers can be shown by this text; False with a mistake noted."""
    if api.message is not None:
        what = f"is not looked for, since content.{key} shows the answer by itself; leave one of them out"
        entry.warn(what, "content", "api", "message")
    members = sorted(name for name in template.members(text.API) if not hasattr(str, name))  # api.upper() is fine
    if members and api.response is content_settings.Structure.TEXT:
        what = f"api.{members[0]} is a part of an answer, and a text answer has none: write {{{{ api }}}}"
        entry.wrong(f"{what}, or content.api.response: json or xml", "content", key)
        return False
    return True


def _named(entry: config_book.Entry, name: str) -> config_book.TemplateFile | None:
    book = entry.book
    book.used.add(("templates", name))
    if name not in book.templates:
        hint = nearest(name, book.templates, show="templates")
        entry.wrong(f"there is no template {name[:80]!r} in templates.d; {hint}", "content", "template")
        return None
    return book.templates[name]


def _asking(entry: config_book.Entry, wanted: Content) -> tuple[node.Asking | None, bool]:
    """How the customer's system is asked, if it is; False with a mistake noted."""
    api = wanted.api
    if api is None:
        if wanted.fallback is not None:
            entry.wrong("is for nodes with content.api; this one has its text already", "content", "fallback")
        return None, wanted.fallback is None
    if _in_the_open(api.url):
        what = "goes over plain http: callers' numbers travel where others can read them; use https"
        entry.warn(what, "content", "api", "url")
    on_error = api.on_error
    if on_error is None:
        on_error = node.OnError.HOLD if wanted.fallback is None else node.OnError.FALLBACK
    fallback = _fallback(entry, wanted, on_error)
    asking = node.Asking(
        fetch=api.fetch, retries=api.retries, on_error=on_error, fallback=fallback, allow=frozenset(api.allow)
    )
    return asking, (fallback is not None) == (on_error is node.OnError.FALLBACK)


def _fallback(entry: config_book.Entry, wanted: Content, on_error: node.OnError) -> text.Template | None:
    """The compiled fallback; None where there is none, or with a mistake noted."""
    if wanted.fallback is None:
        if on_error is node.OnError.FALLBACK:
            what = "there is no content.fallback; write the text that then goes out, or on_error: hold"
            entry.wrong(what, "content", "api", "on_error")
        return None
    spot = entry.spot("content", "fallback")
    fallback = config_book.compiled(wanted.fallback, spot, "fallback", entry.book.mistakes)
    if on_error is not node.OnError.FALLBACK:
        what = f"is never used, since api.on_error is {on_error}; write on_error: fallback, or leave the fallback out"
        entry.wrong(what, "content", "fallback")
    elif fallback is not None and text.API in fallback.names:
        entry.wrong("api is the answer, and the fallback is for when there is none", "content", "fallback")
        return None
    return fallback


def _in_the_open(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() != "http":
        return False
    return not loopback.near(parts.hostname or "")


def _canon(wanted: Content, source: str) -> str:
    if wanted.api is None:
        return source
    facts = [source, wanted.fallback, wanted.api.model_dump()]
    return json.dumps(facts, default=_plain, sort_keys=True)


def _plain(value: object) -> object:
    if isinstance(value, pydantic.SecretStr):
        return hashlib.sha256(value.get_secret_value().encode("utf-8", "replace")).hexdigest()
    if isinstance(value, timedelta):
        return durations.show(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


# --- what it comes to -------------------------------------------------------------------------------------------


def detail(entry: config_book.Entry, made: node.Node, said: Said) -> config_book.Detail | None:
    """Render what can be rendered, which finds what compiling does not; None with a mistake noted."""
    sized, fallback = None, None
    sample = f"(what {config_book.address(said.api)} answers)" if said.api is not None else ""
    templates = [(said.key, said.spot, said.template)]
    if made.asking is not None:
        templates.append(("fallback", entry.spot("content", "fallback"), made.asking.fallback))
    variables: set[str] = set(said.api.vars) if said.api is not None else set()
    variables |= {name for name, _ in made.when}
    for key, spot, template in templates:
        if template is None:
            continue
        variables |= text.expected(template)
        if text.API in template.names:
            sample = template.source
            _named_oddly(entry, made, template, key)
            continue
        if key != "fallback" and said.api is not None:
            entry.warn("shows nothing of what the api answers; write {{ api.NAME }} where it belongs", "content", key)
        tried = _Try(entry, made, template, key, spot)
        body = tried.rendered()
        if body is None:
            return None
        measured = tried.measured(body)
        if measured is None:
            return None
        _named_oddly(entry, made, template, key)
        if key == "fallback":
            fallback = measured
        else:
            sample, sized = body, measured
    return config_book.Detail(
        where=str(entry.spot()),
        sample=sample,
        sized=sized,
        variables=tuple(sorted(variables)),
        template=said.file,
        api=said.api,
        fallback=fallback,
    )


def _named_oddly(entry: config_book.Entry, made: node.Node, template: text.Template, key: str) -> None:
    """Warn of names that may not be meant."""
    known = sorted(text.STANDARD | ({text.API} if made.asking is not None else set()))
    for name in sorted(text.expected(template)):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if close:
            what = f"{name} has to come from the dialplan, as var.{name}=; or did you mean {close[0]}?"
            entry.warn(what, "content")
    if made.send_to_caller and "caller_name" in template.names:
        hint = "caller_name is what the caller made up, and who called under a stranger's number has it sent there"
        entry.warn(f"{hint} in your name: leave it out where send_to_caller is true", "content", key)


class _Try:
    """A text with sample values in it."""

    def __init__(
        self, entry: config_book.Entry, made: node.Node, template: text.Template, key: str, spot: Spot
    ) -> None:
        self.entry = entry
        self.made = made
        self.template = template
        self.key = key
        self.spot = spot

    def rendered(self) -> str | None:
        try:
            return self.template.render(self.sample())
        except errors.TextError as error:
            config_book.note(error, self.spot, self.entry.book.mistakes)
            return None

    def measured(self, body: str) -> text.Sized | None:
        sized = text.measure(body, transliterate=self.made.transliterate)
        if not sized.text.strip():
            self.entry.wrong("is empty; an SMS needs a text", "content", self.key)
            return None
        self.lengths(sized)
        return sized

    def sample(self) -> dict[str, object]:
        made = self.made
        return text.sample(self.template, node=made.name, description=made.description, time_zone=made.time_zone)

    def lengths(self, sized: text.Sized) -> None:
        made, key = self.made, self.key
        if sized.segments > made.max_segments:
            figures = f"{sized.segments} segments ({sized.encoding}), more than max_segments: {made.max_segments}"
            if self.alone() > made.max_segments:
                what = f"the text alone makes {figures}; shorten it or raise max_segments"
                self.entry.wrong(what, "content", key)
            else:
                what = f"with sample values the text makes {figures}; such an SMS is not sent"
                self.entry.warn(what, "content", key)
        plain = text.measure(sized.text, transliterate=True)
        if plain.segments < sized.segments:
            forcing = " ".join(text.explain(sized.text)[:8])
            hint = f"{forcing} make it UCS-2, 70 characters a segment: {text.counted(sized.segments, 'segment')}"
            self.entry.warn(
                f"{hint}; transliterate: true makes it {text.counted(plain.segments, 'segment')}", "content", key
            )

    def alone(self) -> int:
        """Segments of the text with nothing filled in, where that can be rendered."""
        blank = {name: "" if isinstance(value, str) else value for name, value in self.sample().items()}
        try:
            return text.measure(self.template.render(blank), transliterate=self.made.transliterate).segments
        except errors.TextError:
            return 0
