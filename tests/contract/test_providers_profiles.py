"""Every shipped profile against what its company documents: requests, answers, receipts, and one whole exchange.

The examples are in tests/data/profiles, a file per profile that names their source.
"""

import base64
import functools
import json
import urllib.parse
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agi_sms import config_files, errors, http_body, message, ports
from agi_sms.config_mistakes import Mistakes, Spot
from agi_sms.providers import http, http_settings, profiles
from tests.contract import peer, subjects

DATA = Path(__file__).parents[1] / "data" / "profiles"
PUBLIC = "https://sms.example/receipts"
THEN = {
    "accept": message.Accepted,
    "duplicate": message.Accepted,
    "retry": message.Retry,
    "uncertain": message.Uncertain,
    "reject": message.Rejected,
    "final": message.Final,
    "provider_down": message.ProviderDown,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One example of one profile."""

    profile: str
    example: dict[str, Any]


def _data(name: str) -> dict[str, Any]:
    mistakes = Mistakes()
    read = config_files.Reader({}, mistakes).mapping(DATA / f"{name}.yaml")
    assert read is not None, mistakes.texts()
    assert not mistakes.texts()
    return read[0]


EXAMPLES = {name: _data(name) for name in profiles.names()}


def _cases(section: str) -> list[Any]:
    return [
        pytest.param(Case(profile=name, example=example), id=f"{name}-{example.get('name', at)}".replace(" ", "-"))
        for name, data in EXAMPLES.items()
        for at, example in enumerate(data.get(section, []))
    ]


def _settings(name: str, changes: dict[str, Any] | None = None) -> http_settings.Settings:
    return _plain(name) if not changes else _made(name, changes)


@functools.cache
def _plain(name: str) -> http_settings.Settings:
    return _made(name, {})


def _made(name: str, changes: dict[str, Any]) -> http_settings.Settings:
    mistakes = Mistakes()
    own = {"type": "http", "profile": name, "receipt_url": f"{PUBLIC}/{name}", **EXAMPLES[name]["settings"]}
    found = profiles.expanded({**own, **changes}, Spot("test.yaml", 1, "providers.test"), (), mistakes)
    assert found is not None, mistakes.texts()
    return http_settings.Settings.model_validate(found[0])


def _provider(name: str, now: float | None = None, **changes: Any) -> http.HttpProvider:
    at = datetime.fromtimestamp(now, UTC) if now is not None else subjects.NOW
    return http.HttpProvider(name, _settings(name, changes), clock=lambda: at)


def _submission(given: dict[str, Any]) -> ports.Submission:
    changes = dict(given)
    if "encoding" in changes:
        changes["encoding"] = message.Encoding(changes["encoding"])
    return subjects.submission(changes.pop("ref", "m1"), **changes)


# --- requests -----------------------------------------------------------------------------------------------------


def _check_request(expected: dict[str, Any], url: str, headers: dict[str, str], body: bytes) -> None:
    address, _, query = url.partition("?")
    assert address.endswith(expected["path"]), address
    assert dict(urllib.parse.parse_qsl(query)) == _texts(expected.get("query", {}))
    for name, value in expected.get("headers", {}).items():
        assert headers[name.lower()] == value
    if "basic" in expected:
        login = base64.b64encode(":".join(expected["basic"]).encode()).decode()
        assert headers["authorization"] == f"Basic {login}"
    kind = headers.get("content-type", "")
    if "form" in expected:
        assert kind == "application/x-www-form-urlencoded"
        assert dict(urllib.parse.parse_qsl(body.decode())) == _texts(expected["form"])
    elif "json" in expected:
        assert kind.startswith("application/json")
        assert json.loads(body) == expected["json"]
    else:
        assert not body


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


@pytest.mark.parametrize("case", _cases("requests"))
def test_request(case: Case) -> None:
    expected = case.example
    settings = _settings(case.profile, expected.get("settings"))
    made = http.HttpProvider(case.profile, settings)
    request = made._builder.build(_submission(expected.get("given", {})))
    assert request.method == settings.method
    headers = {name.lower(): value for name, value in request.headers.items()}
    _check_request(expected, str(request.url), headers, request.body or b"")


@pytest.mark.parametrize("name", sorted(EXAMPLES))
async def test_the_first_exchange_over_the_wire(name: str) -> None:
    """The request as it is sent, the documented success, one connection."""
    data = EXAMPLES[name]
    said = data["answers"][0]
    headers = {"Content-Type": said.get("type", "application/json")}
    async with peer.running(peer.answer(said["status"], _body(said), headers)) as other:
        parts = urllib.parse.urlsplit(_settings(name).url)
        made = _provider(name, url=other.url + parts.path + (f"?{parts.query}" if parts.query else ""))
        outcome = await made.send(_submission(data["requests"][0].get("given", {})))
        await made.close()
        (request,) = other.requests
    _check_request(data["requests"][0], request.target, request.headers, request.body)
    assert type(outcome) is message.Accepted
    assert list(outcome.ids) == [str(one) for one in said.get("ids", [])]


# --- answers ------------------------------------------------------------------------------------------------------


def _body(example: dict[str, Any]) -> bytes:
    body = example.get("body", "")
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


@pytest.mark.parametrize("case", _cases("answers"))
async def test_answer(case: Case) -> None:
    said = case.example
    headers = {"Content-Type": said.get("type", "application/json")}
    made = _provider(case.profile)
    raw = http_body.Raw(status=said["status"], headers=headers, body=_body(said))
    outcome = made._reader.read(raw, subjects.NOW)
    assert type(outcome) is THEN[said["then"]], outcome
    if "ids" in said:
        assert isinstance(outcome, message.Accepted)
        assert list(outcome.ids) == [str(one) for one in said["ids"]]
    if "code" in said:
        assert outcome.code == str(said["code"])
    if said["then"] == "duplicate":
        assert outcome.detail.startswith("duplicate")


@pytest.mark.parametrize("name", sorted(EXAMPLES))
@pytest.mark.parametrize("status", [200, 201, 202, 207])
@pytest.mark.parametrize("body", ["", "<html>Welcome</html>", "{}", "[]", "null", '{"hello": 1}', "\x00\xff"])
def test_no_nonsense_with_a_good_status_is_a_success(name: str, status: int, body: str) -> None:
    if EXAMPLES[name].get("status_alone") == status:
        return  # the documents say that this status by itself is the acceptance
    raw = http_body.Raw(status=status, headers={}, body=body.encode())
    outcome = _provider(name)._reader.read(raw, subjects.NOW)
    assert type(outcome) is message.Uncertain, outcome


@pytest.mark.parametrize("name", sorted(EXAMPLES))
@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_error_page_of_the_company_leaves_it_open(name: str, status: int) -> None:
    raw = http_body.Raw(status=status, headers={"Content-Type": "text/html"}, body=b"<html>Oops</html>")
    assert type(_provider(name)._reader.read(raw, subjects.NOW)) is message.Uncertain


# --- receipts -----------------------------------------------------------------------------------------------------


def _notice(name: str, example: dict[str, Any]) -> ports.Notice:
    url = PUBLIC + f"/{name}" + example.get("url", "")
    headers = {str(key): str(value) for key, value in example.get("headers", {}).items()}
    body = b""
    if "form" in example:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        body = urllib.parse.urlencode(example["form"]).encode()
    elif "json" in example:
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(example["json"]).encode()
    elif "body" in example:
        body = example["body"].encode()
    if "query" in example:
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode(example["query"])
    return ports.Notice(method=example.get("method", "POST"), url=url, headers=headers, body=body)


@pytest.mark.parametrize("case", _cases("receipts"))
def test_receipt(case: Case) -> None:
    example = case.example
    changes = example.get("settings") or {}
    if not example.get("verified"):
        # What the documents show is signed with a secret that nobody has; signatures have tests of their own.
        own = _settings(case.profile).receipts
        assert own is not None
        if own.verify.scheme != "token":
            changes = {**changes, "receipts": {"verify": {"scheme": "none", "secret": ""}}}
    made = _provider(case.profile, example.get("now"), **changes)
    report = made.read(_notice(case.profile, example))
    found = [
        {"id": one.provider_id, "ref": one.ref, "state": one.state.value, "code": one.code} for one in report.receipts
    ]
    expected = [{"id": "", "ref": "", **one} for one in example["receipts"]]
    for one in expected:
        one.update({key: str(one[key]) for key in ("id", "ref", "code") if key in one})
    assert [{key: one[key] for key in want} for one, want in zip(found, expected, strict=True)] == expected
    assert all(one.raw for one in report.receipts)
    acknowledged = EXAMPLES[case.profile].get("acknowledge", {})
    assert report.status == acknowledged.get("status", 200)
    assert report.body == acknowledged.get("body", "").encode()


# --- polling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", _cases("polling"))
async def test_polling(case: Case) -> None:
    """What is asked, over the wire, and what the documented answer means."""
    example = case.example
    polled = _settings(case.profile).polling
    assert polled is not None
    asked = [
        ports.Awaited(ref=one["ref"], provider_ids=(one["id"],), since=subjects.NOW, until=subjects.NOW)
        for one in example["asked"]
    ]
    headers = {"Content-Type": "application/json"}
    async with peer.running(peer.answer(example.get("status", 200), _body(example), headers)) as other:
        url = other.url + urllib.parse.urlsplit(polled.url).path
        made = _provider(case.profile, polling={"url": url})
        told = await made.ask(asked)
        await made.close()
        (request,) = other.requests
    _check_request(example, request.target, request.headers, request.body)
    found = [{"id": one.provider_id, "state": one.state.value, "detail": one.detail} for one in told.receipts]
    assert found == [{"detail": "", **one} for one in example["receipts"]]
    assert told.fault == example.get("fault", "")


@pytest.mark.parametrize("name", [name for name in sorted(EXAMPLES) if EXAMPLES[name].get("receipts")])
def test_a_receipt_that_nobody_signed_is_refused(name: str) -> None:
    example = EXAMPLES[name]["receipts"][0]
    unsigned = {key: value for key, value in example.items() if key not in {"headers", "url"}}
    kept = {key: value for key, value in example.get("headers", {}).items() if key.lower() == "content-type"}
    made = _provider(name)
    with pytest.raises(errors.ReceiptForged):
        made.read(_notice(name, {**unsigned, "headers": kept}))


def test_every_profile_has_examples() -> None:
    assert sorted(path.stem for path in DATA.glob("*.yaml")) == profiles.names()
    for name, data in EXAMPLES.items():
        assert data["source"], name
        assert {one["then"] for one in data["answers"]} >= {"accept", "reject"}, name
        assert data["requests"], name
        if _settings(name).receipts is not None:
            states = {one["state"] for example in data["receipts"] for one in example["receipts"]}
            assert states >= {"delivered", "failed"}, name
