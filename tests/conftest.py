"""Fixtures that every kind of test may want."""

import logging
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

hypothesis.settings.register_profile(  # a busy machine is no fault of what is tested
    "patient", hypothesis.settings(), deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Commands set up the whole process's logging; what they did is taken back here."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
