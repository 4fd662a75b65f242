"""`make demo`: a real SIP call through a real Asterisk, and the SMS that it makes, told as it happens.

Everything lives in a temporary directory and on loopback addresses. Exit code 0 when the SMS was sent.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docker"))

from rig import asterisk, errors, images, sipp  # noqa: E402

HERE = pathlib.Path(__file__).parent
AGI_SMS = pathlib.Path(sys.executable).with_name("agi-sms")
CALLER, DIALLED, NODE = "+48600100200", "+48221131415", "after-announcement"
PATIENCE = 20.0  # seconds


class Screen:
    """Lines with the time since the demo's call began."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.began = time.monotonic()

    def heading(self, text: str) -> None:
        print(f"\n{self.paint('1', text)}", flush=True)

    def done(self, text: str, started: float) -> None:
        print(f"  {self.paint('32', '✓')} {text} ({time.monotonic() - started:.1f} s)", flush=True)

    def event(self, who: str, text: str) -> None:
        print(f"  {time.monotonic() - self.began:6.2f} s  {self.paint('36', f'{who:<9}')} {text}", flush=True)

    def paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


class Gateway:
    """`agi-sms run`, its log read line by line as JSON; the SMS themselves go straight to the screen."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.config = directory / "agi-sms.yaml"
        self._log = (directory / "gateway.log").open("w", encoding="utf-8")
        self._lines: queue.Queue[dict[str, object]] = queue.Queue()
        self.process = subprocess.Popen(
            [AGI_SMS, "run", "--config", self.config],
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._log.write(line)
            self._log.flush()
            with contextlib.suppress(ValueError):
                self._lines.put(json.loads(line))
        self._lines.put({"event": "gateway ended"})

    def events(self, until: str) -> Iterator[dict[str, object]]:
        """What the gateway logs, up to and with the event named; raises NotReady when that does not come."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                event = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise errors.NotReady(
                    f"the gateway did not say {until!r} within {PATIENCE:.0f} s; it said:\n{self.said()}"
                ) from None
            yield event
            if event["event"] == until:
                return
            if event["event"] == "gateway ended":
                raise errors.NotReady(f"the gateway ended; it said:\n{self.said()}")

    def said(self) -> str:
        return pathlib.Path(self._log.name).read_text(encoding="utf-8")

    def command(self, *arguments: str) -> int:
        """Run another agi-sms command on the same configuration."""
        return subprocess.run([AGI_SMS, *arguments, "--config", self.config], check=False).returncode

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self._log.close()


def announcement(path: pathlib.Path) -> None:
    """Two tones, one second in all, as Asterisk plays them: 8 kHz, 16 bit, mono."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        for hertz in (660, 520):
            tone = (int(9000 * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(4000))
            out.writeframes(b"".join(struct.pack("<h", sample) for sample in tone))


def place_call(screen: Screen, pbx: asterisk.Asterisk, gateway: Gateway) -> None:
    """One call, told as it goes; returns when its SMS was sent."""
    screen.began = time.monotonic()
    screen.event("caller", f"{CALLER} calls {DIALLED}: an announcement, then the SMS node")
    calls = sipp.place_async(pbx, DIALLED, caller=CALLER)

    def hang_up() -> None:
        ended = (calls.wait().call.end_ms or 0) / 1000
        screen.event("caller", f"hears the goodbye, hangs up; the call took {ended:.1f} s")

    caller = threading.Thread(target=hang_up)
    caller.start()
    returned = sent = False
    while not (returned and sent):
        for event in gateway.events("SMS sent" if returned else "call returned"):
            match event["event"]:
                case "call arrived":
                    screen.event("gateway", f"the call arrived; {event['messages']} SMS stored on disk")
                case "call returned":
                    returned = True
                    screen.event("Asterisk", f"the call went on after {event['held_ms']} ms in the node")
                case "SMS sent":
                    sent = True
                    screen.event("gateway", f"SMS sent by provider {event['provider']!r}")
    caller.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--once", action="store_true", help="end after one call, also on a terminal")
    once = parser.parse_args().once or not (sys.stdin.isatty() and sys.stdout.isatty())
    screen = Screen()
    screen.heading("agi-sms demo: a real SIP call, a real SMS")
    started = time.monotonic()
    images.asterisk()
    images.sipp()
    screen.done("Docker images of Asterisk and sipp are there", started)
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agi-sms-demo-")))
        (directory / "pbx").mkdir()
        pbx = asterisk.Asterisk(directory / "pbx")
        announcement(pbx.directory / "announcement.wav")
        started = time.monotonic()
        stack.enter_context(pbx)
        pbx.load_dialplan((HERE / "extensions.conf").read_text(encoding="utf-8"))
        version = pbx.cli("core show version").split(" built")[0]
        screen.done(f"{version} answers SIP on 127.0.0.1:{pbx.sip_port}", started)
        started = time.monotonic()
        config = (HERE / "agi-sms.yaml").read_text(encoding="utf-8")
        for name, value in (
            ("DEMO_ARI_URL", pbx.ari_url),
            ("DEMO_ARI_PASSWORD", pbx.ari_password),
            ("DEMO_AMI_PORT", str(pbx.ami_port)),
            ("DEMO_AMI_SECRET", pbx.ami_secret),
        ):
            config = config.replace(f"${{{name}}}", value)
        (directory / "agi-sms.yaml").write_text(config, encoding="utf-8")
        (directory / "agi-sms.yaml").chmod(0o600)
        gateway = Gateway(directory)
        stack.callback(gateway.stop)
        while (
            next(e for e in gateway.events("connected to Asterisk") if e["event"] == "connected to Asterisk")["door"]
            != "ari"
        ):
            pass
        screen.done("gateway runs on SQLite with the print provider", started)
        screen.heading("The dialplan")
        print("".join(f"  {line}\n" for line in (HERE / "extensions.conf").read_text().splitlines() if line[:1] != ";"))
        screen.heading("The call")
        place_call(screen, pbx, gateway)
        screen.heading("agi-sms history")
        shown = gateway.command("history", "--node", NODE)
        if once:
            return shown
        return stay(screen, pbx, gateway)


def stay(screen: Screen, pbx: asterisk.Asterisk, gateway: Gateway) -> int:
    """Keep everything running for somebody who wants to try more."""
    screen.heading("Everything keeps running. In another terminal, try:")
    for command in ("history", f"trigger {NODE} --caller {CALLER} --dry-run", "explain MESSAGE_ID"):
        name, _, rest = command.partition(" ")
        print(f"  {AGI_SMS.relative_to(ROOT)} {name} --config {gateway.config} {rest}".rstrip())
    print(f"  docker exec -it {pbx.container} asterisk -C /rig/etc/asterisk.conf -r")
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        while True:
            input("\nEnter: another call. Ctrl-C: stop and remove everything. ")
            place_call(screen, pbx, gateway)
    print()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except errors.RigError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
