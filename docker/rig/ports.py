"""Ports that nobody uses, outside the range from which the kernel gives ports to others."""

import random
import socket

LOWEST, HIGHEST = 15000, 32000
RANGES = 22000  # from here on whole ranges: an Asterisk binds one of its ports only when a call wants it
HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether a port can be bound, for TCP and for UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True


def free(count: int) -> list[int]:
    """Return so many free ports, all different; random, so that runs side by side seldom choose the same."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(LOWEST, RANGES, 2)
        if port not in found and is_free(port):
            found.append(port)
    return found


def free_range(length: int) -> tuple[int, int]:
    """Return the first and the last port of a free range, the first one even as RTP wants it."""
    while True:
        start = random.randrange(RANGES, HIGHEST - length, 2)
        if all(is_free(port) for port in range(start, start + length)):
            return start, start + length - 1
