"""Whatever an ARI says over its websocket: nothing escapes the door, and the next call is served.

What names no type is no event: aioari ends there, the door connects anew, and finds the calls that came meanwhile.
"""

import asyncio
import json
from typing import Any

import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agi_sms.asterisk import ari
from tests.contract import doors, fake_ari

WORDS = st.sampled_from(
    ["StasisStart", "StasisEnd", "ApplicationReplaced", "ChannelVarset", fake_ari.APP, "1.1", "reception", "visit=v",
     fake_ari.MARK, "recipients=+4860", "caller=%FF", "Stasis", "agi-sms", "s", "2026-01-15T12:00:00.000+0000", "gone"]
)  # fmt: skip
LEAVES = WORDS | st.text(max_size=12) | st.none() | st.booleans() | st.integers() | st.floats()
JUNK = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=8
)
PATHS = [
    ("type",), ("application",), ("timestamp",), ("args",), ("channel",), ("replace_channel",), ("channel", "id"),
    ("channel", "name"), ("channel", "caller"), ("channel", "caller", "number"), ("channel", "dialplan"),
    ("channel", "dialplan", "app_data"), ("channel", "dialplan", "context"), ("channel", "dialplan", "app_name"),
    ("channel", "channelvars"), ("channel", "creationtime"),
]  # fmt: skip


def usual(kind: str, channel: str) -> dict[str, Any]:
    args = ["reception", fake_ari.MARK, "visit=v-x"]
    made = fake_ari.FakeAri(channels={channel: ",".join([fake_ari.APP, *args])}).describe(channel)
    return {
        "type": kind,
        "application": fake_ari.APP,
        "timestamp": "2026-01-15T12:00:00.000+0000",
        "args": args,
        "channel": made,
    }


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """An event as Asterisk sends it, but for a few places, which hold anything or are missing."""
    kind = draw(st.sampled_from(["StasisStart", "StasisEnd", "ApplicationReplaced", "ChannelDestroyed"]))
    event: Any = usual(kind, draw(st.sampled_from(["5.1", "5.2", "gone.3"])))
    for *above, last in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)):
        place = event
        for key in above:
            place = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict):
            if draw(st.booleans()):
                place[last] = draw(JUNK)
            else:
                place.pop(last, None)
    if event.get("type") == "ApplicationReplaced" and event.get("application") == fake_ari.APP:
        event["application"] = "another"  # else it stands by, as it should
    return event


EVENTS = st.lists((spoilt() | JUNK).map(json.dumps), max_size=12)


async def hear(events: list[str]) -> list[Any]:
    """What is logged, when all of them have come and a call after them was sent on."""
    with structlog.testing.capture_logs() as lines:
        async with fake_ari.serve() as fake:
            intake = fake_ari.Intake()
            async with fake_ari.running(fake, intake) as entry:
                await doors.until(lambda: entry.state is ari.State.SERVING)
                for event in events:
                    await fake.sockets[-1].send_str(event)
                await fake.start("9.1", "reception", "visit=v-9")
                await doors.until(lambda: fake.asked("9.1"))
                assert fake.asked("9.1") == fake_ari.SENT_ON
                assert "v-9" in [visit.id for visit in intake.visits]
    return lines


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_any_event(events: list[str]) -> None:
    lines = asyncio.run(hear(events))
    assert not [line for line in lines if line.get("exc_info") or line.get("exception")], lines
    lost = [line["reason"] for line in lines if line["event"] == "connection to Asterisk lost"]
    assert all("this is not how ARI speaks" in reason for reason in lost), lost
    if all(isinstance(event := json.loads(text), dict) and isinstance(event.get("type"), str) for text in events):
        assert not lost
