"""Prometheus' numbers over HTTP."""

import prometheus_client
from aiohttp import web

from agi_sms.web import listener

MOST_CONNECTIONS = 20
DEADLINE = 10.0  # seconds, for the request's head and for taking the answer
PATH = "/metrics"


async def listen(host: str, port: int) -> listener.Listener:
    """Answer Prometheus there. Raises errors.AgiSmsError where that cannot be."""
    return await listener.Listener.open(
        _answer, key="metrics.listen", host=host, port=port, most=MOST_CONNECTIONS, deadline=DEADLINE
    )


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    if request.method == "GET" and request.path == PATH:
        response = web.Response(
            body=prometheus_client.generate_latest(), headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST}
        )
    else:
        response = web.Response(status=404, text=f"there is only GET {PATH}\n")
    response.force_close()
    return response
