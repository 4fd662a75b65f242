"""What doctor asks over ARI, where the other side hangs, lies or is no Asterisk at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from agi_sms import doctor_facts as facts
from agi_sms.asterisk import survey_ari
from agi_sms.asterisk.settings import Ari
from tests.contract import fake_ari, peer

PATIENCE = timedelta(milliseconds=400)
INFO = {"system": {"version": "22.10.1+dfsg"}}
MODULES = [{"name": "app_stasis.so", "status": "Running"}, {"name": "res_agi.so", "status": "Not Running"}, "junk"]


def says(body: Any, **headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, headers=headers)

    return answer


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
async def fake() -> AsyncIterator[fake_ari.FakeAri]:
    async with fake_ari.serve() as made:
        made.script = {
            "asterisk/info": says(INFO),
            "asterisk/modules": says(MODULES),
            "asterisk/variable": says({"value": "10.0.0.1:4573"}),
            f"channels/{survey_ari.NOBODY}": fake_ari.status(404),
            "endpoints/PJSIP": says([]),
        }
        yield made


async def ask(url: str, *, patience: timedelta = timedelta(seconds=5)) -> facts.Ari:
    settings = Ari(url=url, username=fake_ari.USER, password=fake_ari.PASSWORD)  # type: ignore[arg-type]  # it is made one
    async with asyncio.timeout(10):
        return await survey_ari.ask(settings, ["AGISMS_AGI"], patience=patience)


async def test_everything(fake: fake_ari.FakeAri) -> None:
    found = await ask(fake.url)
    assert found.trouble is None
    assert found.version == "22.10.1+dfsg"
    assert found.writes is True
    assert found.application == facts.Application(registered=False)
    assert found.modules == frozenset({"app_stasis"})
    assert found.variables == {"AGISMS_AGI": "10.0.0.1:4573"}
    assert found.endpoints == facts.Endpoints(looked=(), count=0)
    assert found.ahead is not None
    assert abs(found.ahead) < timedelta(seconds=2)


async def test_nothing_is_registered_or_asked_of_channels(fake: fake_ari.FakeAri) -> None:
    methods: list[tuple[str, str]] = []
    inner = fake.script[f"channels/{survey_ari.NOBODY}"]

    async def noted(request: web.Request) -> web.StreamResponse | None:
        methods.append((request.method, request.path))
        return await inner(request)

    fake.script[f"channels/{survey_ari.NOBODY}"] = noted
    await ask(fake.url)
    assert methods == [("DELETE", f"/ari/channels/{survey_ari.NOBODY}")]
    assert fake.seen == []
    assert not fake.sockets
    assert not any("events" in path for path in fake.paths)


async def test_application_of_somebody(fake: fake_ari.FakeAri) -> None:
    fake.registered = True
    fake.channels = {"1.1": "agi-sms,desk", "1.2": "agi-sms,desk"}
    assert (await ask(fake.url)).application == facts.Application(registered=True, channels=2)


@pytest.mark.parametrize(("status", "writes"), [(404, True), (403, False), (500, None), (200, None)])
async def test_right_to_write(fake: fake_ari.FakeAri, status: int, writes: bool | None) -> None:
    fake.script[f"channels/{survey_ari.NOBODY}"] = fake_ari.status(status)
    assert (await ask(fake.url)).writes is writes


async def test_login_is_refused(fake: fake_ari.FakeAri) -> None:
    fake.script["asterisk/info"] = fake_ari.status(401)
    found = await ask(fake.url)
    assert found.trouble is not None
    assert found.trouble.code == "401"
    assert len(fake.paths) == 1  # who is refused once does not ask on


@pytest.mark.parametrize("seconds", [-3600, 90])
async def test_clock(fake: fake_ari.FakeAri, seconds: int) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    fake.script["asterisk/info"] = says(INFO, Date=date)
    ahead = (await ask(fake.url)).ahead
    assert ahead is not None
    assert abs(ahead - timedelta(seconds=seconds)) < timedelta(seconds=2)


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Nov 2026 11:10:22 GMT"])
async def test_no_clock(fake: fake_ari.FakeAri, date: str) -> None:
    fake.script["asterisk/info"] = says(INFO, Date=date)
    assert (await ask(fake.url)).ahead is None


# --- endpoints ----------------------------------------------------------------------------------------------------


def attributes(**values: str) -> list[dict[str, str]]:
    return [{"attribute": key, "value": value} for key, value in values.items()]


async def test_endpoints(fake: fake_ari.FakeAri) -> None:
    known = {
        "acme": attributes(auth="", outbound_auth="acme", trust_id_inbound="false"),
        "bell/x": attributes(auth="", outbound_auth="", trust_id_inbound="true"),
        "200": attributes(auth="200-auth", outbound_auth="", trust_id_inbound="false"),
        "anonymous": attributes(auth="", outbound_auth="", trust_id_inbound="false"),
        "odd": attributes(auth=""),
    }
    fake.script["endpoints/PJSIP"] = says([{"resource": name} for name in known])

    async def one(request: web.Request) -> web.StreamResponse:
        return web.json_response(known[request.path.rpartition("endpoint/")[2]])

    fake.script["asterisk/config/dynamic/res_pjsip/endpoint/"] = one
    found = (await ask(fake.url)).endpoints
    assert found is not None
    assert found.count == 5
    assert [(each.name, each.trunk, each.trusts) for each in found.looked] == [
        ("200", False, False),
        ("acme", True, False),
        ("anonymous", False, False),
        ("bell/x", True, True),
    ]


async def test_many_endpoints_cost_no_more_than_the_patience(fake: fake_ari.FakeAri) -> None:
    fake.script["endpoints/PJSIP"] = says([{"resource": f"{number}"} for number in range(5000)])

    answered: list[web.Request] = []

    async def few(request: web.Request) -> web.StreamResponse:
        """The first ones are answered, the others never."""
        if len(answered) == 2 * survey_ari.AT_ONCE:
            return await never(request)
        answered.append(request)
        return web.json_response(attributes(auth="x", trust_id_inbound="no"))

    fake.script["asterisk/config/dynamic/res_pjsip/endpoint/"] = few
    found = (await ask(fake.url, patience=PATIENCE)).endpoints
    assert found is not None
    assert found.count == 5000
    assert len(found.looked) == 2 * survey_ari.AT_ONCE
    assert fake.most_at_once <= survey_ari.AT_ONCE


# --- trouble ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (peer.silence(), "timeout"),
        (peer.cut(), "broken"),
        (peer.raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "broken"),
        (peer.answer(404, b"<html>Not Found</html>"), "absent"),
        (peer.answer(200, b"<html>nginx</html>"), "absent"),
        (peer.answer(200, b"[" * 100_000), "absent"),
        (peer.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), "timeout"),
        (peer.answer(403), "403"),
    ],
)
async def test_no_ari(behave: peer.Behaviour, code: str) -> None:
    async with peer.running(behave) as other:
        found = await ask(other.url, patience=PATIENCE)
    assert found.trouble is not None
    assert found.trouble.code == code


async def test_nobody_listens() -> None:
    async with peer.running(peer.silence()) as other:
        url = other.url
    found = await ask(url)
    assert found.trouble is not None
    assert found.trouble.code == "connect"


async def test_certificate_of_a_stranger() -> None:
    async with peer.running(peer.answer(), tls=True) as other:
        found = await ask(other.url)
    assert found.trouble is not None
    assert found.trouble.code == "tls"


@pytest.mark.parametrize(
    "body", [{}, [], "x", 1, None, {"channel_ids": 3}, {"value": None}, [[]], [{"name": None, "status": "Running"}]]
)
async def test_answers_that_make_no_sense(fake: fake_ari.FakeAri, body: Any) -> None:
    """They tell nothing, and are no fault of ours."""
    for path in ("asterisk/modules", "asterisk/variable", "applications", "endpoints/PJSIP"):
        fake.script[path] = says(body)
    found = await ask(fake.url)
    assert found.trouble is None
    assert found.application in (None, facts.Application(registered=True))
    assert all(one.isprintable() for one in found.modules or ())


async def test_first_answer_is_right_and_then_it_hangs(fake: fake_ari.FakeAri) -> None:
    fake.script = {"asterisk/info": fake.script["asterisk/info"], "": never}
    found = await ask(fake.url, patience=PATIENCE)
    assert found.version
    assert (found.writes, found.application, found.modules, found.endpoints, found.variables) == (None,) * 5


async def test_password_is_in_no_fact(fake: fake_ari.FakeAri) -> None:
    found = await ask(fake.url)
    assert fake_ari.PASSWORD not in repr(found)
    assert not any(fake_ari.PASSWORD in path for path in fake.paths)
    assert json.dumps(found.version)
