"""Keeps the text of an SMS out of what is noted of an answer, in whatever form a provider echoes it."""

import functools
from collections.abc import Iterator

from agi_sms import echoes

_RUN = 16  # characters without spaces: a piece of the text so long gives it away, also where the rest is cut off


class TextMask:
    """Replaces one message's text by `***`: raw, JSON-escaped, percent-encoded, form-encoded, HTML-escaped, mixed."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, answer: str) -> str:
        return answer if not answer or self._no_trace(answer) else self.searched(answer)

    def searched(self, answer: str) -> str:
        """The same, by the whole search."""
        hidden: set[tuple[int, int]] = set()
        for layer in echoes.layers(answer):
            bare = layer.bare()
            for size, pieces in self._pieces.items():
                hidden.update(_found(bare, size, pieces, answer))
        return echoes.starred(answer, hidden)

    def _no_trace(self, answer: str) -> bool:
        """Whether a plain answer surely has nothing of the text, as most do; True costs little.

        A run of it would hold one whole block, where the answer is cut into blocks of half the length.
        """
        if echoes.encoded(answer):
            return False
        bare = _bare(answer)
        blocks = [bare[i : i + _RUN // 2] for i in range(0, len(bare) - _RUN // 2 + 1, _RUN // 2)]
        return not any(
            form in bare if len(form) <= _RUN else any(block in form for block in blocks) for form in self._forms
        )

    @functools.cached_property
    def _forms(self) -> set[str]:
        """The text without spaces: as it is, and with its escapes undone."""
        forms = {_bare(self._text)}
        if echoes.encoded(self._text):
            forms = {layer.bare().text for layer in echoes.layers(self._text)}
        return forms - {""}

    @functools.cached_property
    def _pieces(self) -> dict[int, set[str]]:
        """What gives the text away, by its length."""
        made: dict[int, set[str]] = {}
        for form in self._forms:
            size = min(_RUN, len(form))
            made.setdefault(size, set()).update(form[i : i + size] for i in range(len(form) - size + 1))
        return made


def _bare(text: str) -> str:
    """As echoes.Layer.bare, for a text alone."""
    return "".join(text.split()).replace("+", "")


def _found(layer: echoes.Layer, size: int, pieces: set[str], answer: str) -> Iterator[tuple[int, int]]:
    """Where the original has one of the pieces."""
    for i in range(len(layer.text) - size + 1):
        if layer.text[i : i + size] in pieces:
            start, end = layer.starts[i], layer.ends[i + size - 1]
            if size >= 4 or not (answer[start - 1 : start].isalnum() or answer[end : end + 1].isalnum()):
                yield start, end
