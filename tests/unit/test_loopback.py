"""Which hosts are this machine."""

import pytest

from agi_sms import loopback

HERE = (
    "127.0.0.1",
    "127.1.2.3",
    "::1",
    "[::1]",
    "::ffff:127.0.0.1",
    "localhost",
    "LocalHost",
    "localhost.",
    "a.localhost",
)
ELSEWHERE = (
    "",
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "localhost.example",
    "notlocalhost",
    "Xlocalhost",
    "localhostX",
    "pbx",
)


@pytest.mark.parametrize("host", HERE)
def test_this_machine(host: str) -> None:
    assert loopback.near(host)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_elsewhere(host: str) -> None:
    assert not loopback.near(host)
