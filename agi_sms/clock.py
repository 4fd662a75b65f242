"""The machine's clock. The use cases get it handed in, so that tests can turn it."""

from datetime import UTC, datetime


def now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
