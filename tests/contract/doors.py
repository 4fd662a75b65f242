"""What the tests of the doors to Asterisk share: waiting for a condition, and reading the log."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition, with a deadline."""
    try:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"never came true: {what or condition}")


def events(lines: list[Any], text: str) -> list[Any]:
    return [line for line in lines if text in line["event"]]
