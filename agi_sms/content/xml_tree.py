"""An XML answer as a template sees it, and where its text is if nobody says where. Pure."""

from xml.etree.ElementTree import Element

from agi_sms import http_xml


def message(root: Element) -> Element | None:
    """The root's child `message`, or a root of that name."""
    child = root.find("message")
    return child if child is not None else root if root.tag == "message" else None


def fields(root: Element) -> object:
    """What the root holds: children by name, those of one name as a list; attributes likewise, where no child has their
    name. An element without children is its text, or, where it has none, its attributes.

    A root that is nothing but text stands under its own name.

    >>> fields(http_xml.parse('<order id="5"><item>A</item><item>B</item><buyer><name>Jan</name></buyer></order>'))
    {'id': '5', 'item': ['A', 'B'], 'buyer': {'name': 'Jan'}}
    """
    tree = _fields(root)
    return {root.tag: tree} if isinstance(tree, str) else tree


def _fields(element: Element) -> str | dict[str, object]:
    if len(element) == 0 and ((text := http_xml.whole_text(element)) or not element.attrib):
        return text
    children: dict[str, object] = {}
    for child in element:
        inner, before = _fields(child), children.get(child.tag)
        if before is None:
            children[child.tag] = inner
        elif isinstance(before, list):
            before.append(inner)
        else:
            children[child.tag] = [before, inner]
    return {**element.attrib, **children}
