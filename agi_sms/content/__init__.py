"""Texts from the customer's own system. `settings` is imported alone, where a configuration is checked."""

from typing import TYPE_CHECKING

from agi_sms import ports

if TYPE_CHECKING:
    from agi_sms.content import settings as api_settings


def build(name: str, settings: "api_settings.Api", *, templated: bool = False) -> ports.ContentSource:
    """The content source of node `name`. Does no I/O; needs no running loop.

    `templated`: the node has a text of its own around the answer, which so needs no message.
    """
    from agi_sms.content import api

    return api.ApiSource(name, settings, templated=templated)
