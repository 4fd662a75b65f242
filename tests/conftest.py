"""Fixtures that every kind of test may want."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Commands set up the whole process's logging; what they did is taken back here."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
