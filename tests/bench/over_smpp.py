"""Messages a second over SMPP: through the gateway, and by smpplib's client to the same SMSC."""

import pathlib

from tests.bench import figures, load, processes, sizes

WINDOW = 10  # submissions without an answer at once: the provider's default


def measure(directory: pathlib.Path, of: sizes.Sizes, tell: load.Tell) -> list[figures.Figure]:
    """Each in its turn, again and again."""
    ways = {
        "agi-sms": lambda where: _gateway(where, of.messages),
        "floor": lambda where: _floor(of.messages, receipts=0),
        "bare": lambda where: _floor(of.messages, receipts=1),
    }
    return load.figures_of("smpp", load.alternate(directory, of, ways, tell))


def _gateway(directory: pathlib.Path, count: int) -> load.Load:
    with processes.helper("smsc", count, 1) as smsc:
        peer = {"type": "smpp", "host": "127.0.0.1", "port": smsc.says(), "system_id": "acme", "password": "s3cret"}
        return load.through_gateway(directory, smsc, count, providers={"peer": peer})


def _floor(count: int, *, receipts: int) -> load.Load:
    with (
        processes.helper("smsc", count, receipts) as smsc,
        processes.helper("bare_smpp", smsc.says(), count, WINDOW, receipts) as client,
    ):
        return load.of_client(smsc, client, count)
