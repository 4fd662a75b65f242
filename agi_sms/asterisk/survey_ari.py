"""What `agi-sms doctor` asks a running Asterisk over ARI. Nothing is registered, made or changed by it."""

import asyncio
import base64
import contextlib
import email.utils
import json
import re
import time
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import yarl

from agi_sms import doctor_facts as facts
from agi_sms import harmless, http_body, http_client
from agi_sms.asterisk import survey_endpoints
from agi_sms.asterisk.settings import Ari

NOBODY = "agi-sms-doctor"  # the id of a channel that does not exist
LARGEST_ANSWER = 8 << 20  # bytes
AT_ONCE = 5  # requests; Asterisk has 100 sessions for everybody
_HALF = timedelta(milliseconds=500)  # Date tells whole seconds
_REFUSALS = {401: "refuses the login", 403: "does not let this user ask"}


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """An answer: its JSON, None where it is none."""

    status: int
    body: Any
    date: datetime | None
    took: timedelta
    asked_at: datetime


async def ask(settings: Ari, variables: Iterable[str], *, patience: timedelta) -> facts.Ari:
    """Everything that is asked; `variables` are globals of the dialplan. Nothing is raised but CancelledError.

    Each question has `patience`, or what the settings say where that is less.
    """
    survey = _Survey(settings, patience)
    try:
        return await survey.everything(tuple(variables))
    finally:
        await survey.close()


class _Survey:
    """Questions to one Asterisk."""

    def __init__(self, settings: Ari, patience: timedelta) -> None:
        self._settings = settings
        self._patience = min(settings.timeout, patience)
        self._client = http_client.Client(ca_file=settings.ca_file, keep_alive=False)
        login = f"{settings.username}:{settings.password.get_secret_value()}".encode()
        self._login = "Basic " + base64.b64encode(login).decode()
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def everything(self, variables: Sequence[str]) -> facts.Ari:
        first = await self._request("GET", "asterisk/info")
        if isinstance(first, facts.Trouble):
            return facts.Ari(trouble=first)
        found = facts.Ari(took=first.took, ahead=_ahead(first))
        if first.status in _REFUSALS:
            return replace(found, trouble=facts.Trouble(code=str(first.status), detail=_REFUSALS[first.status]))
        if first.body is None:
            what = f"answers {first.status}, and not as ARI does"
            return replace(found, trouble=facts.Trouble(code="absent", detail=what))
        writes, application, modules, endpoints, values = await asyncio.gather(
            self._writes(), self._application(), self._modules(), self._endpoints(), self._variables(variables)
        )
        return replace(
            found,
            version=harmless.clipped(_text(first.body, "system", "version"), 60),
            writes=writes,
            application=application,
            modules=modules,
            endpoints=endpoints,
            variables=values,
        )

    async def _writes(self) -> bool | None:
        """Asterisk looks whether a user may write before it looks whether there is such a channel (res_ari.c)."""
        answer = await self._request("DELETE", f"channels/{NOBODY}")
        if isinstance(answer, facts.Trouble):
            return None
        return {403: False, 404: True}.get(answer.status)

    async def _application(self) -> facts.Application | None:
        answer = await self._request("GET", f"applications/{self._settings.app}")
        if isinstance(answer, facts.Trouble) or answer.body is None:
            return None
        if answer.status == 404:
            return facts.Application(registered=False)
        channels = answer.body.get("channel_ids") if isinstance(answer.body, dict) else None
        if answer.status != 200 or not isinstance(channels, list):
            return None
        return facts.Application(registered=True, channels=len(channels))

    async def _modules(self) -> frozenset[str] | None:
        listed = await self._list("asterisk/modules")
        if listed is None:
            return None
        running = (str(one.get("name", "")) for one in listed if one.get("status") == "Running")
        return frozenset(name.removesuffix(".so") for name in running)

    async def _variables(self, names: Sequence[str]) -> dict[str, str] | None:
        found = {}
        for name in names:
            answer = await self._request("GET", f"asterisk/variable?variable={name}")
            if isinstance(answer, facts.Trouble) or answer.status != 200 or not isinstance(answer.body, dict):
                return None
            found[name] = harmless.clipped(str(answer.body.get("value", "")), 200)
        return found

    # --- endpoints ------------------------------------------------------------------------------------------------

    async def _endpoints(self) -> facts.Endpoints | None:
        """Those of PJSIP, as long as the time lasts; first those whose names are no extension's."""
        listed = await self._list("endpoints/PJSIP")
        if listed is None:
            return None
        names = survey_endpoints.ordered(str(one.get("resource", "")) for one in listed)
        looked: list[facts.Endpoint] = []

        async def look(name: str) -> None:
            quoted = urllib.parse.quote(name, safe="")
            attributes = await self._list(f"asterisk/config/dynamic/res_pjsip/endpoint/{quoted}")
            if attributes is None:
                return
            values = {one.get("attribute"): str(one.get("value", "")) for one in attributes}
            if "trust_id_inbound" in values:
                looked.append(
                    survey_endpoints.endpoint(
                        name,
                        auth=values.get("auth", ""),
                        outbound_auth=values.get("outbound_auth", ""),
                        trust_id_inbound=values["trust_id_inbound"],
                    )
                )

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.total_seconds()):
                await asyncio.gather(*(look(name) for name in names[: survey_endpoints.MOST]))
        return facts.Endpoints(looked=tuple(sorted(looked, key=lambda one: one.name)), count=len(names))

    async def close(self) -> None:
        await self._client.close()

    # --- requests -------------------------------------------------------------------------------------------------

    async def _list(self, path: str) -> list[dict[str, Any]] | None:
        answer = await self._request("GET", path)
        if isinstance(answer, facts.Trouble) or answer.status != 200 or not isinstance(answer.body, list):
            return None
        return [one for one in answer.body if isinstance(one, dict)]

    async def _request(self, method: str, path: str) -> _Answer | facts.Trouble:
        """One request; a trouble where there is no HTTP answer."""
        request = http_client.Request(
            method=method,
            url=yarl.URL(f"{self._settings.url}ari/{path}", encoded=True),
            headers={"Authorization": self._login},
        )
        async with self._turn:
            asked_at, begun = datetime.now(UTC), time.monotonic()
            found = await self._client.exchange(request, timeout=self._patience, most=LARGEST_ANSWER)
        if isinstance(found, http_client.Fault):
            detail = re.sub(r"^cannot connect to \S+:", "cannot connect:", found.detail)  # where, is told anyway
            return facts.Trouble(code=found.code, detail=harmless.clipped(detail))
        took = timedelta(seconds=time.monotonic() - begun)
        return _Answer(status=found.status, body=_json(found), date=_date(found), took=took, asked_at=asked_at)


def _json(raw: http_body.Raw) -> Any:
    """None where it is no JSON."""
    if not raw.whole:
        return None
    try:
        return json.loads(raw.body)
    except (ValueError, RecursionError):
        return None


def _text(body: Any, *path: str) -> str:
    for part in path:
        body = body.get(part, "") if isinstance(body, dict) else ""
    return str(body)


def _date(raw: http_body.Raw) -> datetime | None:
    with contextlib.suppress(ValueError, TypeError):
        found = email.utils.parsedate_to_datetime(raw.headers.get("Date", ""))
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return None


def _ahead(answer: _Answer) -> timedelta | None:
    """How much the other clock is ahead of ours, to a second or so."""
    if answer.date is None:
        return None
    return answer.date + _HALF - (answer.asked_at + answer.took / 2)
