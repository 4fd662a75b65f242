"""The way that can be cut: it hands on, it resets, it falls silent and speaks again, and lets go of what has ended."""

import collections.abc
import contextlib
import select
import socket
import threading

import pytest

from tests.chaos import link


@pytest.fixture
def echo() -> collections.abc.Iterator[int]:
    """A port that says what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    heard, _ = server.accept()
                    threading.Thread(target=repeat, args=(heard,), daemon=True).start()

        def repeat(heard: socket.socket) -> None:
            with heard, contextlib.suppress(OSError):
                while data := heard.recv(1000):
                    heard.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def connected(through: link.Link) -> collections.abc.Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", through.port), timeout=10) as made:
        yield made


def said(connection: socket.socket, what: bytes) -> bytes:
    connection.sendall(what)
    return connection.recv(1000)


def test_hands_on_and_resets(echo: int) -> None:
    with link.Link(echo) as through:
        with connected(through) as one:
            assert said(one, b"hello") == b"hello"
            through.reset()
            with pytest.raises(ConnectionResetError):
                one.recv(1000)
        with connected(through) as next_one:
            assert said(next_one, b"again") == b"again"


def test_is_silent_and_speaks_again(echo: int) -> None:
    with link.Link(echo) as through, connected(through) as old:
        assert said(old, b"hello") == b"hello"
        through.hush()
        with connected(through) as new:
            old.sendall(b"old")
            new.sendall(b"new")
            assert select.select([old, new], [], [], 0.3)[0] == []
            through.speak()
            assert (old.recv(1000), new.recv(1000)) == (b"old", b"new")


def test_tells_of_the_other_sides_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, link.Link(server.getsockname()[1]) as through:
        with connected(through) as one:
            heard, _ = server.accept()
            heard.close()
            assert one.recv(1000) == b""
        with connected(through) as one:
            heard, _ = server.accept()
            heard.settimeout(10)
            one.close()
            assert heard.recv(1000) == b""
            heard.close()


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with link.Link(port) as through, connected(through) as one:
        assert one.recv(1000) == b""
