"""Content sources: where a node's text comes from, if not from the node."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from agi_sms import call, message, numbers


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question to a content source. `rules` say how the call's trunk writes numbers.

    `activation_id` is the same however often the question is repeated. `test`: no call is behind it.
    """

    activation_id: str
    visit: call.Visit
    rules: numbers.Rules
    test: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a content source said. What it says beside the text is as it came, unread.

    `fields` is the whole answer for the node's own template: dict, list, str, int, float, bool, None.
    `code` (an HTTP status) and `excerpt` (the beginning of what came, at most LONGEST_EXCERPT characters) are
    kept for people.
    """

    text: str | None
    fields: object = None
    sender: object = None
    delay: object = None
    recipients: object = None
    send: object = None
    code: str = ""
    excerpt: str = ""


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """Why a content source gave no text. `detail` says it in words.

    `again`: it may pass, so asking once more makes sense, `after` the other side's own wish, where it gave one.
    `host_fault`: nobody gets an answer from there, as far as this can be told from one. `asked`: a question was put.
    """

    reason: message.Reason
    code: str = ""
    detail: str = ""
    excerpt: str = ""
    again: bool = False
    after: timedelta | None = None
    host_fault: bool = False
    asked: bool = True


LONGEST_EXCERPT = 2000  # characters


class ContentSource(Protocol):
    """Where a node's text comes from, if not from the node. Never raises for what the other side does."""

    host: str  # sources of one host share its places and its faults
    timeout: timedelta  # the longest that `fetch` may take

    async def fetch(self, question: Question) -> Answer | NoAnswer: ...

    async def close(self) -> None: ...
