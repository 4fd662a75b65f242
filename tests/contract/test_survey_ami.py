"""What doctor asks over AMI, where rights are missing, answers are odd, or nobody answers."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agi_sms import doctor_facts as facts
from agi_sms.asterisk import survey_ami
from tests.contract import fake_ami, peer

PATIENCE = timedelta(milliseconds=400)
EVERYTHING = ("DBGetTree", "DBDel", "ModuleCheck", "GetConfig", "Command")


def commands(*names: str) -> str:
    told = "".join(f"\r\n{name}: What it does  (Priv: system,all)" for name in names)
    return f"Response: Success\r\nPing: Keepalive  (Priv: <none>){told}"


def tree(*records: str) -> Callable[[fake_ami.Action], str]:
    """The records of AstDB, as events behind the answer."""

    def answer(action: fake_ami.Action) -> str:
        said = "Response: Success\r\nEventList: start\r\nMessage: Result will follow"
        at = f"ActionID: {action['ActionID']}"
        for number, record in enumerate(records):
            event = f"Event: DBGetTreeResponse\r\nKey: /agi-sms/v{number}\r\nVal: {record}"
            said += f"\r\n{at}\r\n\r\n{event}"
        return f"{said}\r\n{at}\r\n\r\nEvent: DBGetTreeComplete\r\nEventList: Complete\r\nListItems: {len(records)}"

    return answer


CONFIGS = {
    "ari.conf": "enabled=yes|channelvars=CHANNEL(linkedid),CALLERID(dnid)|websocket_write_timeout=200|auth_realm=x",
    "http.conf": "enabled=yes|bindaddr=0.0.0.0|tlsprivatekey=/etc/secret.key",
    "manager.conf": f"secret={fake_ami.SECRET}|deny=0.0.0.0/0.0.0.0|read=call|read=user,call|write=system",
}


def config(action: fake_ami.Action) -> str:
    lines = CONFIGS[action["Filename"]].split("|")
    told = "".join(f"\r\nLine-000000-{number:06d}: {line}" for number, line in enumerate(lines))
    return f"Response: Success\r\nCategory-000000: {action['Category']}{told}"


def modules(action: fake_ami.Action) -> str:
    known = action["Module"] == "res_agi"
    return "Response: Success\r\nVersion: " if known else "Response: Error\r\nMessage: Module not loaded"


ANSWERS: dict[str, Any] = {
    "ListCommands": commands(*EVERYTHING),
    "CoreSettings": "Response: Success\r\nAMIversion: 11.0.0\r\nAsteriskVersion: 22.10.1+dfsg",
    "DBGetTree": tree("desk,visit=v0,at=1764500000.123,x=1", "desk,at=1764400000", "no comma", "x,at=99999999999999"),
    "GetConfig": config,
    "ModuleCheck": modules,
}


async def ask(fake: fake_ami.FakeAmi, **more: Any) -> facts.Ami:
    async with asyncio.timeout(10):
        return await survey_ami.ask(fake.settings(**more), ["res_agi", "app_x"], patience=timedelta(seconds=5))


async def test_everything() -> None:
    async with fake_ami.running(answers=ANSWERS) as fake:
        found = await ask(fake)
    assert found.trouble is None
    assert found.version == "22.10.1+dfsg"
    assert found.actions == frozenset({"Ping", *EVERYTHING})
    assert found.modules == frozenset({"res_agi"})
    assert found.waiting is not None
    assert (found.waiting.count, found.waiting.oldest) == (4, datetime.fromtimestamp(1764400000, UTC))
    assert found.waiting.nodes == {"desk": 1, "no comma": 1}
    assert found.waiting.unreadable == 2
    assert "unknown argument 'x'" in found.waiting.why
    assert found.files is not None
    assert {name: section.values for name, section in found.files.items()} == {
        "ari.conf": {
            "enabled": "yes",
            "channelvars": "CHANNEL(linkedid),CALLERID(dnid)",
            "websocket_write_timeout": "200",
        },
        "http.conf": {"enabled": "yes", "bindaddr": "0.0.0.0"},
        "manager.conf": {"read": "user,call", "write": "system"},  # the later line counts
    }


async def test_nothing_is_changed_and_no_secret_kept() -> None:
    async with fake_ami.running(answers=ANSWERS) as fake:
        found = await ask(fake)
    reads = {"Login", "ListCommands", "Ping", "CoreSettings", "DBGetTree", "ModuleCheck", "GetConfig", "Logoff"}
    assert {action["Action"] for action in fake.actions} <= reads
    assert fake_ami.SECRET not in repr(found)
    assert "secret.key" not in repr(found)
    asked = {(action["Filename"], action["Category"]) for action in fake.done("GetConfig")}
    assert asked == {("ari.conf", "general"), ("http.conf", "general"), ("manager.conf", fake_ami.USER)}


@pytest.mark.parametrize("missing", EVERYTHING)
async def test_what_the_user_may_not_ask_is_not_asked(missing: str) -> None:
    answers = ANSWERS | {"ListCommands": commands(*(name for name in EVERYTHING if name != missing))}
    async with fake_ami.running(answers=answers) as fake:
        found = await ask(fake)
    assert found.trouble is None
    assert found.actions is not None
    assert missing not in found.actions
    assert fake.done(missing) == []
    told = {"DBGetTree": found.waiting, "ModuleCheck": found.modules, "GetConfig": found.files}
    assert told.get(missing) is None


GLOBALS = """Response: Success
Message: Command output follows
Output:    TRUNK_PASSWORD=secret-of-somebody
Output:    AGISMS_AGI=192.0.2.7:5000
Output:
Output:     -- 2 variable(s)""".replace("\n", "\r\n")


def value(action: fake_ami.Action) -> str:
    known = {"AGISMS_AGI": "192.0.2.7:5000"}
    return f"Response: Success\r\nVariable: {action['Variable']}\r\nValue: {known.get(action['Variable'], '')}"


@pytest.mark.parametrize(
    ("right", "answers", "expected"),
    [
        ("Command", {"Command": GLOBALS}, {"AGISMS_AGI": "192.0.2.7:5000", "AGISMS_WATCHDOG": ""}),
        ("Getvar", {"Getvar": value}, {"AGISMS_AGI": "192.0.2.7:5000", "AGISMS_WATCHDOG": ""}),
        ("Command", {"Command": fake_ami.DENIED}, None),
        ("Command", {"Command": "Response: Error\r\nMessage: no"}, None),
        ("Getvar", {"Getvar": "Response: Error\r\nMessage: no"}, None),
        ("Ping", {}, None),
    ],
)
async def test_globals_of_the_dialplan(right: str, answers: dict[str, Any], expected: dict[str, str] | None) -> None:
    """By whichever right the user has; nothing else of them is kept."""
    told = ANSWERS | {"ListCommands": commands(right)} | answers
    async with fake_ami.running(answers=told) as fake, asyncio.timeout(10):
        names = ("AGISMS_AGI", "AGISMS_WATCHDOG")
        found = await survey_ami.ask(fake.settings(), [], names, patience=timedelta(seconds=5))
    assert found.trouble is None
    assert found.variables == expected


# --- what ARI tells where there is one ----------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-3600, 0, 90])
async def test_clock(ahead: int) -> None:
    def pong(_: fake_ami.Action) -> str:
        return f"Response: Success\r\nPing: Pong\r\nTimestamp: {datetime.now(UTC).timestamp() + ahead:.6f}"

    async with fake_ami.running(answers=ANSWERS | {"Ping": pong}) as fake:
        found = await ask(fake)
    assert found.ahead is not None
    assert abs(found.ahead - timedelta(seconds=ahead)) <= found.took / 2 + timedelta(milliseconds=1)


@pytest.mark.parametrize("said", ["", "\r\nTimestamp: soon", "\r\nTimestamp: 1e300"])
async def test_clock_that_nobody_tells(said: str) -> None:
    async with fake_ami.running(answers=ANSWERS | {"Ping": f"Response: Success\r\nPing: Pong{said}"}) as fake:
        found = await ask(fake)
    assert (found.ahead, found.trouble) == (None, None)


PHONES = {"acme": ("", "acme", "no"), "bell": ("", "", "yes"), "200": ("200", "", "no"), "anonymous": ("", "", "no")}


def phones(action: fake_ami.Action) -> str:
    """What PJSIPShowEndpoints answers, as res/res_pjsip/pjsip_configuration.c has it."""
    said = "Response: Success\r\nEventList: start\r\nMessage: A listing of Endpoints follows, presented as EndpointList"
    at = f"ActionID: {action['ActionID']}"
    for name, (auths, outbound, _) in PHONES.items():
        event = f"Event: EndpointList\r\nObjectType: endpoint\r\nObjectName: {name}\r\nAor: {name}"
        said += f"\r\n{at}\r\n\r\n{event}\r\nAuths: {auths}\r\nOutboundAuths: {outbound}"
    return f"{said}\r\n{at}\r\n\r\nEvent: EndpointListComplete\r\nEventList: Complete\r\nListItems: {len(PHONES)}"


def trusts(action: fake_ami.Action) -> str:
    name = action["Variable"].removeprefix("PJSIP_ENDPOINT(").removesuffix(",trust_id_inbound)")
    return f"Response: Success\r\nVariable: {action['Variable']}\r\nValue: {PHONES[name][2]}"


def shown(action: fake_ami.Action) -> str:
    """What the command line prints of an endpoint, Asterisk 22."""
    name = action["Command"].removeprefix("pjsip show endpoint ")
    lines = ("", f" Endpoint:  {name}   Not in use    0 of inf", " trust_id_inbound   : " + PHONES[name][2], "")
    return "Response: Success\r\nMessage: Command output follows" + "".join(f"\r\nOutput: {one}" for one in lines)


@pytest.mark.parametrize("right", ["Getvar", "Command"])
async def test_trunks(right: str) -> None:
    """Those of ARI's survey, by whichever right there is; and no password of a phone is asked for."""
    told = ANSWERS | {"ListCommands": commands("PJSIPShowEndpoints", right), "PJSIPShowEndpoints": phones}
    told |= {"Getvar": trusts, "Command": shown}
    async with fake_ami.running(answers=told) as fake, asyncio.timeout(10):
        found = await survey_ami.ask(fake.settings(), [], patience=timedelta(seconds=5), endpoints=True)
    assert found.trouble is None
    assert found.endpoints == facts.Endpoints(
        looked=(
            facts.Endpoint(name="200", trusts=False, trunk=False),
            facts.Endpoint(name="acme", trusts=False, trunk=True),
            facts.Endpoint(name="anonymous", trusts=False, trunk=False),
            facts.Endpoint(name="bell", trusts=True, trunk=True),
        ),
        count=4,
    )
    assert fake.done("PJSIPShowEndpoint") == []


@pytest.mark.parametrize(
    ("rights", "answers", "expected"),
    [
        (("PJSIPShowEndpoints",), {}, None),
        (("Getvar", "Command"), {}, None),
        (("PJSIPShowEndpoints", "Getvar"), {"Getvar": "Response: Error\r\nMessage: no"}, (0, 4)),
        (("PJSIPShowEndpoints", "Command"), {"Command": fake_ami.DENIED}, (0, 4)),
        (
            ("PJSIPShowEndpoints", "Getvar"),
            {"PJSIPShowEndpoints": "Response: Error\r\nMessage: No endpoints found"},
            (0, 0),
        ),
    ],
)
async def test_trunks_that_nobody_tells(
    rights: tuple[str, ...], answers: dict[str, Any], expected: tuple[int, int] | None
) -> None:
    told = ANSWERS | {"ListCommands": commands(*rights), "PJSIPShowEndpoints": phones} | answers
    async with fake_ami.running(answers=told) as fake, asyncio.timeout(10):
        found = await survey_ami.ask(fake.settings(), [], patience=timedelta(seconds=5), endpoints=True)
    assert found.trouble is None
    endpoints = found.endpoints
    assert (None if endpoints is None else (len(endpoints.looked), endpoints.count)) == expected


async def test_trunks_are_asked_for_where_they_are_wanted() -> None:
    async with fake_ami.running(answers=ANSWERS | {"ListCommands": commands("PJSIPShowEndpoints", "Getvar")}) as fake:
        found = await ask(fake)
    assert found.endpoints is None
    assert fake.done("PJSIPShowEndpoints") == []


async def test_login_is_refused() -> None:
    async with fake_ami.running(answers=ANSWERS) as fake:
        found = await ask(fake, secret="wrong")
    assert found.trouble == facts.Trouble(code="denied", detail="Login: Authentication failed")
    assert found.actions is None


@pytest.mark.parametrize("name", ["Login", "ListCommands", "DBGetTree", "ModuleCheck", "GetConfig"])
async def test_it_hangs(name: str) -> None:
    """What came before that is told."""
    async with fake_ami.running(answers=ANSWERS, mute={name}) as fake, asyncio.timeout(10):
        found = await survey_ami.ask(fake.settings(), ["res_agi"], patience=PATIENCE)
    assert found.trouble is not None
    assert found.trouble.code == "timeout"
    assert (found.actions is None) == (name in ("Login", "ListCommands"))


@pytest.mark.parametrize("name", ["Login", "ListCommands", "GetConfig"])
async def test_it_hangs_up(name: str) -> None:
    async with fake_ami.running(answers=ANSWERS, cut={name}) as fake:
        found = await ask(fake)
    assert found.trouble is not None
    assert found.trouble.code == "connect"


@pytest.mark.parametrize("behave", [peer.silence(), peer.raw(b"HTTP/1.1 400 Bad\r\n\r\n")])
async def test_no_ami(behave: peer.Behaviour) -> None:
    async with peer.running(behave) as other, fake_ami.running() as fake, asyncio.timeout(10):
        found = await survey_ami.ask(fake.settings(port=other.port), [], patience=PATIENCE)
    assert found.trouble is not None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Response: Error\r\nMessage: Config file not found", "Config file not found"),
        ("Response: Error\r\nMessage: File requires escalated privileges", "escalated"),
        ("Response: Success\r\nNo categories found", "has no section"),
    ],
)
async def test_files_that_cannot_be_told(answer: str, words: str) -> None:
    async with fake_ami.running(answers=ANSWERS | {"GetConfig": answer}) as fake:
        found = await ask(fake)
    assert found.trouble is None
    assert found.files is not None
    for section in found.files.values():
        assert section.values is None
        assert section.trouble is not None
        assert words in section.trouble.detail


async def test_user_with_a_name_that_no_action_can_carry() -> None:
    """Its own section cannot be asked for; the rest can."""
    async with fake_ami.running(
        answers=ANSWERS | {"Login": "Response: Success\r\nMessage: Authentication accepted"}
    ) as fake:
        found = await ask(fake, username="x" * 2000)
    assert found.files is not None
    assert found.files["ari.conf"].values is not None
    assert found.files["manager.conf"].values is None
