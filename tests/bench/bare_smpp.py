"""The floor over SMPP: smpplib's client, with as many submissions unanswered as the gateway may have.

    python -m tests.bench.bare_smpp PORT COUNT WINDOW RECEIPTS

With RECEIPTS 1 it also takes as many receipts. It prints the milliseconds of CPU that it used.
"""

import socket
import sys
import time
from typing import Any

from smpplib import client as smpp  # type: ignore[import-untyped]


def main(port: int, count: int, window: int, receipts: int) -> None:
    """Send all, then wait for the receipts."""
    answered = received = sent = 0

    def hear(pdu: Any) -> None:
        nonlocal answered
        answered += 1

    def take(pdu: Any) -> None:
        nonlocal received
        received += 1

    client = smpp.Client("127.0.0.1", port, allow_unknown_opt_params=True)
    client.set_message_sent_handler(hear)
    client.set_message_received_handler(take)
    client.connect()
    client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # without, it waits 40 ms for every answer
    client.bind_transceiver(system_id="acme", password="s3cret")
    began = time.process_time()
    while answered < count or received < count * receipts:
        while sent < count and sent - answered < window:
            client.send_message(
                source_addr_ton=5,
                source_addr="ACME",
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr=f"48600{sent:06}",
                registered_delivery=receipts,
                short_message=(
                    f"Thank you for calling. Your number is {sent}. ACME, Zrodlana 5, Krakow, https://acme.example"
                ).encode(),
            )
            sent += 1
        client.read_once()
    print((time.process_time() - began) * 1000, flush=True)
    client.unbind()
    client.disconnect()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
