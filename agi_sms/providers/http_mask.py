"""Keeps the text of an SMS out of what is noted of an answer, in whatever form a provider echoes it."""

from collections.abc import Iterator

from agi_sms import echoes

_RUN = 16  # characters without spaces: a piece of the text so long gives it away, also where the rest is cut off


class TextMask:
    """Replaces one message's text by `***`: raw, JSON-escaped, percent-encoded, form-encoded, HTML-escaped, mixed."""

    def __init__(self, text: str) -> None:
        forms = {layer.bare().text for layer in echoes.layers(text)} - {""}
        self._pieces: dict[int, set[str]] = {}  # by their length
        for form in forms:
            size = min(_RUN, len(form))
            self._pieces.setdefault(size, set()).update(form[i : i + size] for i in range(len(form) - size + 1))

    def __call__(self, answer: str) -> str:
        if not self._pieces:
            return answer
        hidden: set[tuple[int, int]] = set()
        for layer in echoes.layers(answer):
            bare = layer.bare()
            for size, pieces in self._pieces.items():
                hidden.update(_found(bare, size, pieces, answer))
        return echoes.starred(answer, hidden)


def _found(layer: echoes.Layer, size: int, pieces: set[str], answer: str) -> Iterator[tuple[int, int]]:
    """Where the original has one of the pieces."""
    for i in range(len(layer.text) - size + 1):
        if layer.text[i : i + size] in pieces:
            start, end = layer.starts[i], layer.ends[i + size - 1]
            if size >= 4 or not (answer[start - 1 : start].isalnum() or answer[end : end + 1].isalnum()):
                yield start, end
