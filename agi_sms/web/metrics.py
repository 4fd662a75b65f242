"""Prometheus' numbers over HTTP."""

import prometheus_client
from aiohttp import web

from agi_sms.web import door, listener

MOST_CONNECTIONS = 20
DEADLINE = 10.0  # seconds, for the request's head, and again for taking the answer
PATH = "/metrics"
_LARGEST = 1024  # bytes that may come with a request that needs none


async def listen(host: str, port: int) -> listener.Listener:
    """Answer Prometheus there. Raises errors.AgiSmsError where that cannot be."""
    limits = door.Limits(
        connections=MOST_CONNECTIONS, asking=DEADLINE, answering=DEADLINE, body=_LARGEST, work=MOST_CONNECTIONS
    )
    return await listener.Listener.open(_answer, key="metrics.listen", host=host, port=port, limits=limits)


async def _answer(request: web.BaseRequest, _: bytes) -> web.StreamResponse:
    if request.method == "GET" and request.path == PATH:
        return web.Response(
            body=prometheus_client.generate_latest(), headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST}
        )
    return web.Response(status=404, text=f"there is only GET {PATH}\n")
