"""Messages a second over HTTP: through the gateway, and by an aiohttp client that does nothing else."""

import pathlib

from rig import ports
from tests.bench import figures, load, processes, sizes

CONCURRENCY = 20  # the gateway's default
RECEIPTS = {
    "from": "json",
    "id": "$.id",
    "state": "$.state",
    "states": {"delivered": "delivered"},
    "verify": {"scheme": "none"},
}


def measure(directory: pathlib.Path, of: sizes.Sizes, tell: load.Tell) -> list[figures.Figure]:
    """Each in its turn, again and again."""
    ways = {
        "agi-sms": lambda where: _gateway(where, of.messages),
        "floor": lambda where: _floor(of.messages, receipts=False),
        "bare": lambda where: _floor(of.messages, receipts=True),
    }
    return load.figures_of("http", load.alternate(directory, of, ways, tell))


def _gateway(directory: pathlib.Path, count: int) -> load.Load:
    (port,) = ports.free(1)
    with processes.helper("company", count, 0, f"http://127.0.0.1:{port}/receipts/peer") as company:
        peer = {
            "type": "http",
            "url": f"http://127.0.0.1:{company.says()}/sms",
            "body": {"json": {"ref": "{{ ref }}", "to": "{{ to }}", "from": "{{ sender }}", "text": "{{ text }}"}},
            "answer": {"id": "$.id"},
            "receipts": RECEIPTS,
        }
        receipts = {"listen": f"127.0.0.1:{port}", "public_url": f"http://127.0.0.1:{port}"}
        return load.through_gateway(directory, company, count, receipts=receipts, providers={"peer": peer})


def _floor(count: int, *, receipts: bool) -> load.Load:
    (port,) = ports.free(1)
    own = [f"http://127.0.0.1:{port}/receipts"] if receipts else []
    with processes.helper("company", count, 0, *own) as company:
        url = f"http://127.0.0.1:{company.says()}/sms"
        with processes.helper("bare_http", url, count, CONCURRENCY, *([port] if receipts else [])) as client:
            return load.of_client(company, client, count)
