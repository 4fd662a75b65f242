"""What the commands look up beside a message: its provider's settings, its traffic, and the running gateway."""

import contextlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agi_sms import cli_shared, errors, message, show_why
from agi_sms.message import Status

if TYPE_CHECKING:
    from agi_sms import config as configuration
    from agi_sms.outbox import sqlite


async def facts(
    config_file: Path, box: "sqlite.SqliteOutbox", one: message.Message, now: datetime
) -> show_why.Facts | None:
    """Of a message that waits, or for whose receipt one waits in vain; None where there is nothing to explain.

    Nothing either where the configuration has mistakes, and cannot say how its provider is set.
    """
    if one.status is not Status.SCHEDULED and not one.receipt_overdue(now):
        return None
    with contextlib.suppress(errors.ConfigError):
        return await of_provider(cli_shared.read(config_file), box, one.provider)
    return None


async def of_provider(loaded: "configuration.Config", box: "sqlite.SqliteOutbox", provider: str) -> show_why.Facts:
    """What is known of one provider."""
    from agi_sms import run_status, show_providers
    from agi_sms.outbox import sqlite
    from agi_sms.providers import common

    settings = loaded.providers.get(provider)
    common_ones = settings if isinstance(settings, common.Settings) else None
    rate = common_ones.limit if common_ones is not None else None
    status = run_status.read(loaded.settings.database)
    reports = getattr(settings, "receipts", None) is not None
    return show_why.Facts(
        provider=provider,
        known=settings is not None,
        traffic=await box.traffic(provider, rate),
        rate=rate,
        places=(common_ones.concurrency if common_ones is not None else None) or loaded.settings.concurrency,
        address=show_providers.address(settings) if reports else None,
        every=getattr(getattr(settings, "polling", None), "every", None),
        runs=sqlite.owner_pid(loaded.settings.database) is not None,
        left_alone=status.health if status is not None else {},
    )
