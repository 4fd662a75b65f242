"""The other side over SMPP, a process of its own.

    python -m tests.bench.smsc COUNT RECEIPTS

It prints its port. Where RECEIPTS is 1, every message is reported as delivered. When COUNT messages were taken (and
their receipts acknowledged), it prints {first, last, taken, repeated}: times in seconds since 1970.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

from tests.contract import smsc

ACKNOWLEDGED = smsc.DELIVER | smsc.RESPONSE


@dataclass
class Counting(smsc.Smsc):
    """Takes every message at once, and keeps only their contents."""

    count: int = 0
    receipts: bool = False
    first: float = 0.0
    taken: int = 0
    acknowledged: int = 0
    texts: set[bytes] = field(default_factory=set)

    async def _take(self, connection: smsc.Connection, pdu: smsc.Pdu) -> None:
        if pdu.command == smsc.SUBMIT:
            self.first = self.first or time.time()
            self.taken += 1
            self.texts.add(pdu.body)
            connection.accept(pdu, f"id{self.taken}")
            if self.receipts:
                connection.send(smsc.DELIVER, self.taken, smsc.receipt(f"id{self.taken}"))
            else:
                self._tell(self.taken)
        elif pdu.command == ACKNOWLEDGED and pdu.status == 0:
            self.acknowledged += 1
            self._tell(self.acknowledged)
        else:
            await super()._take(connection, pdu)

    def _tell(self, done: int) -> None:
        if done == self.count:
            facts = {"first": self.first, "last": time.time(), "taken": self.taken}
            print(json.dumps(facts | {"repeated": self.taken - len(self.texts)}), flush=True)


async def main(count: int, receipts: bool) -> None:
    """Serve until killed."""
    made = Counting(count=count, receipts=receipts)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2] == "1"))
