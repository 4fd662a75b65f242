"""How Asterisk splits what an application, a function or a subroutine is given. Pure."""


def split(data: str, *, most: int | None = None, separator: str = ",", raw: bool = False) -> list[str]:
    """Split an application's data string as Asterisk does for its applications.

    Separators separate, except within quotes, parentheses and brackets; quotes are removed; a backslash is
    removed and takes the meaning from the character behind it. These states run on across separators, so one
    quote that is never closed swallows all that follows. `most` is the size of the application's array: the
    last place keeps the rest as it stands. `raw` removes nothing, as Gosub and ExecIf have it. Asterisk's own
    oddities are kept (`a,""` is three arguments).
    Rule: `AST_STANDARD_APP_ARGS`, `AST_NONSTANDARD_RAW_ARGS`, main/app.c.

    >>> split('node,caller="1,2",x')
    ['node', 'caller=1,2', 'x']
    """
    found: list[str] = []
    current: list[str] = []
    open_round = open_square = 0
    quoted = False
    at, end = 0, len(data)
    while at < end and (most is None or len(found) < most - 1):
        current = []
        separated = False
        while at < end:
            character = data[at]
            at += 1
            if character == '"':
                quoted = not quoted
                current += character if raw else ""
                continue
            if character == "\\":
                current.append(data[at - raw : at + 1])
                at += 1
                continue
            if character == "(":
                open_round += 1
            elif character == ")":
                open_round = max(0, open_round - 1)
            elif character == "[":
                open_square += 1
            elif character == "]":
                open_square = max(0, open_square - 1)
            elif character == separator and not (quoted or open_round or open_square):
                separated = True
                break
            current.append(character)
        found.append("".join(current))
        if at >= end:
            # Asterisk looks whether the byte before the end is the last separator it overwrote.
            empty_behind_separator = len(found) > 1 and not current
            return [*found, ""] if separated or empty_behind_separator else found
    return [*found, data[at:]] if at < end else found
