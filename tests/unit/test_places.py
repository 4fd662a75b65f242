"""Where providers are, by their settings."""

from pathlib import Path
from typing import Any

import pytest

from agi_sms import providers
from agi_sms.providers import places

BODY = {"json": {"to": "{{ to }}", "text": "{{ text }}"}}


def settings(kind: str, **values: Any) -> Any:
    return providers.settings_class(kind).model_validate({"type": kind} | values)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://sms.example/send", places.Peer(host="sms.example", port=443, tls=True)),
        ("http://sms.example", places.Peer(host="sms.example", port=80)),
        ("https://sms.example:8443/a/{{ to }}?x={{ sender }}", places.Peer(host="sms.example", port=8443, tls=True)),
        ("http://[::1]:13013/cgi-bin/sendsms", places.Peer(host="::1", port=13013)),
    ],
)
def test_http(url: str, expected: places.Peer) -> None:
    found = settings("http", url=url, body=BODY)
    assert places.peer(found) == expected
    assert places.places(found) == ()


def test_smpp() -> None:
    found = settings("smpp", host="smpp.example", port=3550, tls=True, system_id="acme")
    assert places.peer(found) == places.Peer(host="smpp.example", port=3550, tls=True)


def test_files_and_folders(tmp_path: Path) -> None:
    for name in ("outbox", "sent", "error", "inbox"):
        (tmp_path / name).mkdir()
    paths = {name: tmp_path / name for name in ("outbox", "sent", "error")}
    found = settings("gammu", **paths)
    assert [(one.path.name, one.folder) for one in places.places(found)] == [(name, True) for name in paths]
    assert len(places.places(settings("gammu", **paths, inbox=tmp_path / "inbox"))) == 4
    lines = settings("file", path=tmp_path / "sent.jsonl")
    assert places.places(lines) == (places.Place(path=tmp_path / "sent.jsonl", folder=False),)
    assert places.peer(found) is None
    assert places.peer(lines) is None


def test_those_that_are_nowhere() -> None:
    sip = settings("sip", pbx="main", to="pjsip:x/sip:{{ to }}@sms.example")
    for one in (settings("print"), sip, providers.settings_class("print").model_construct(type="their.module:Class")):
        assert places.peer(one) is None
        assert places.places(one) == ()
