"""Profiles against what nobody here wrote: Kannel with its fake SMSC, companies' OpenAPI documents in Prism."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib import parse

import pytest

from agi_sms import message, ports, segments
from agi_sms.config_mistakes import Mistakes, Spot
from agi_sms.providers import http, http_settings, profiles
from rig import engine, images, kannel, prism
from tests.contract import peer, subjects

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(900)]  # the first one may have to build the image

TOKEN = "rand0m-w0rd"
LONG = "Zażółć gęślą jaźń 😀 " * 10


@pytest.fixture(scope="module", autouse=True)
def _image(pytestconfig: pytest.Config) -> None:
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        engine.require()
        images.peers()


def provider(name: str, **own: Any) -> http.HttpProvider:
    mistakes = Mistakes()
    found = profiles.expanded({"type": "http", "profile": name, **own}, Spot("test.yaml", 1, "p"), (), mistakes)
    assert found is not None, mistakes.texts()
    return http.HttpProvider(name, http_settings.Settings.model_validate(found[0]), clock=lambda: subjects.NOW)


def submission(ref: str, text: str, **changes: Any) -> ports.Submission:
    sized = segments.measure(text)
    return subjects.submission(ref, text=text, encoding=sized.encoding, segments=sized.segments, **changes)


# --- Kannel -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway(_image: None) -> Iterator[kannel.Kannel]:
    with kannel.Kannel() as running:
        yield running


class Listener:
    """Where Kannel's receipts come in, as the provider reads them."""

    def __init__(self, made: http.HttpProvider, other: peer.Peer) -> None:
        self.provider = made
        self._other = other

    @property
    def receipts(self) -> list[ports.Receipt]:
        notices = [
            ports.Notice(method=one.method, url=self._other.url + one.target, headers=one.headers, body=one.body)
            for one in self._other.requests
        ]
        return [receipt for one in notices for receipt in self.provider.read(one).receipts]

    def states(self, ref: str) -> list[str]:
        """Of one message, in the order they came."""
        return [one.state.value for one in self.receipts if one.ref == ref]

    async def until(self, ref: str, state: str, count: int = 1) -> None:
        """Wait for so many receipts of a state."""
        async with asyncio.timeout(60):
            while self.states(ref).count(state) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def listening(running: kannel.Kannel, **own: Any) -> AsyncIterator[Listener]:
    acknowledged = peer.answer(200, b"", {"Content-Type": "text/plain"})
    async with peer.running(acknowledged) as other:
        secret = {"username": running.username, "password": running.password, "receipt_token": TOKEN}
        receipt_url = f"{other.url}/receipts/kannel"
        made = provider("kannel", url=running.url, secret={**secret, **own}, receipt_url=receipt_url)
        try:
            yield Listener(made, other)
        finally:
            await made.close()


async def arrived(running: kannel.Kannel, holds: Callable[[str], bool]) -> None:
    await asyncio.to_thread(running.wait_for, "the text at the network", lambda: any(map(holds, running.arrived())))


async def test_kannel_takes_a_message_and_reports_it(gateway: kannel.Kannel) -> None:
    async with listening(gateway) as listener:
        outcome = await listener.provider.send(submission("k1", "100% of 5 & more = {[€]}"))
        assert isinstance(outcome, message.Accepted), outcome
        await listener.until("k1", "delivered")
        assert sorted(listener.states("k1")) == ["accepted", "delivered"]
        assert {one.code for one in listener.receipts} == {"8", "1"}


@pytest.mark.parametrize("text", ["Zażółć gęślą 😀", "Grüße, Ω"])
async def test_kannel_hands_the_text_on_as_it_is(gateway: kannel.Kannel, text: str) -> None:
    async with listening(gateway) as listener:
        assert isinstance(await listener.provider.send(submission(f"t{len(text)}", text)), message.Accepted)
        await listener.until(f"t{len(text)}", "delivered")
    # fakesmsc shows it urlencoded, in UTF-8 or in UTF-16
    forms = (text.encode(), text.encode("utf-16-be"))
    await arrived(gateway, lambda line: any(one in parse.unquote_to_bytes(line.replace("+", " ")) for one in forms))


async def test_kannel_reports_a_long_text_once(gateway: kannel.Kannel) -> None:
    sized = segments.measure(LONG)
    async with listening(gateway) as listener:
        assert isinstance(await listener.provider.send(submission("long", LONG)), message.Accepted)
        await listener.until("long", "delivered")
        assert sized.segments > 2
        await listener.until("long", "accepted")
        assert sorted(listener.states("long")) == ["accepted", "delivered"]


async def test_kannel_refuses(gateway: kannel.Kannel) -> None:
    async with listening(gateway) as listener:
        outcome = await listener.provider.send(submission("r1", "Hi", to=f"{kannel.REFUSED_PREFIX}1234567"))
        assert isinstance(outcome, message.Rejected), outcome
        assert "Not routable" in outcome.detail
        await listener.until("r1", "failed")
    async with listening(gateway, password="wrong") as listener:
        outcome = await listener.provider.send(submission("r2", "Hi"))
        assert isinstance(outcome, message.ProviderDown), outcome
        assert "uthori" in outcome.detail


async def test_kannel_queues_while_its_network_is_away(gateway: kannel.Kannel) -> None:
    async with listening(gateway) as listener:
        await asyncio.to_thread(gateway.network_down)
        outcome = await listener.provider.send(submission("q1", "later"))
        await asyncio.to_thread(gateway.network_up)
        assert isinstance(outcome, message.Accepted), outcome
        assert outcome.code == "3"
        await listener.until("q1", "delivered")


# --- OpenAPI documents --------------------------------------------------------------------------------------------


def document(name: str) -> Path:
    path = prism.SPECS / name
    if not path.is_file():
        pytest.skip(f"there is no {path}; AGI_SMS_SPECS names the folder with the companies' documents")
    return path


async def test_twilios_own_document_takes_the_request() -> None:
    account = "AC" + "a" * 32
    with prism.Prism(document("twilio_messages.json")) as mock:
        url = f"{mock.url}/2010-04-01/Accounts/{account}/Messages.json"
        own = {"url": url, "receipt_url": "https://sms.example/receipts/twilio"}
        made = provider("twilio", secret={"account_sid": account, "auth_token": "t0ken"}, **own)
        outcome = await made.send(submission("m1", "Zażółć 👍", sender="+14155552345"))
        assert isinstance(outcome, message.Accepted), outcome
        assert outcome.ids == ("SM" + "a" * 32,)
        await made.close()
        broken = provider("twilio", secret={"account_sid": "AC1", "auth_token": "t"}, url=url.replace(account, "AC1"))
        outcome = await broken.send(submission("m2", "Hi", sender=""))
        assert not isinstance(outcome, message.Accepted), outcome  # an account that the document does not allow
        await broken.close()


async def test_the_android_gateways_own_document_takes_the_request() -> None:
    with prism.Prism(document("android_sms_gateway.json")) as mock:
        made = provider("android-sms-gateway", secret={"username": "u", "password": "p"}, url=f"{mock.url}/messages")
        outcome = await made.send(submission("m1", "Zażółć 👍"))
        assert isinstance(outcome, message.Accepted), outcome
        assert outcome.ids
        outcome = await made.send(submission("m" * 37, "Hi"))  # the document allows ids of 36 characters
        assert not isinstance(outcome, message.Accepted), outcome
        await made.close()
