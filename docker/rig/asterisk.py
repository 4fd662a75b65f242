"""Asterisk in a container, set up from the examples that we ship.

ari.conf, http.conf, manager.conf and agi-sms.conf are the files of config/asterisk and dialplan, with only their
ports and passwords changed, so that what people copy is what is tested. The rest is the rig's own.
"""

import collections.abc
import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import types
import typing
import uuid

from rig import ami, configuration, engine, errors, images, ports

START_DEADLINE = 60.0
STOP_SECONDS = 10
HOST = "127.0.0.1"
TRUSTED_HOST = "127.0.0.2"


class Asterisk:
    """One Asterisk with its own ports, files and database; a context manager that starts and removes it.

    Calls from 127.0.0.1 come in as endpoint `trunk` (Asterisk's defaults: a Privacy header is ignored), calls from
    127.0.0.2 as endpoint `trusted` (trust_id_inbound=yes); both start in context `from-trunk`, which is whatever
    load_dialplan() was last given. Dial a sipp phone with PJSIP/phone/sip:NAME@127.0.0.1:PORT, or by a name that
    phones() gave it. version is Asterisk's major version.
    """

    def __init__(self, directory: pathlib.Path, *, version: str = "22", verbose: int = 4, rtp_ports: int = 400) -> None:
        """Write the configuration into a directory; nothing runs yet. A call takes two of the RTP ports."""
        self.directory = directory.resolve()
        self.version = version
        self.container = f"agi-sms-asterisk-{uuid.uuid4().hex[:12]}"
        self.host = self.ami_host = HOST
        self.sip_port, self.http_port, self.ami_port = ports.free(3)
        self.rtp_start, self.rtp_end = ports.free_range(rtp_ports)
        self.ari_url = f"http://{HOST}:{self.http_port}"
        self.ari_user, self.ari_password = "agi-sms", uuid.uuid4().hex
        self.ami_user, self.ami_secret = "agi-sms", uuid.uuid4().hex
        self._rig_secret = uuid.uuid4().hex
        self._created = False
        self._write(verbose)

    def _write(self, verbose: int) -> None:
        """Generate the directory: etc/ for the configuration, the others are Asterisk's to write to."""
        for name in ("etc", "var", "log/cdr-csv", "run", "spool/outgoing", "lib/keys"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        files = configuration.shipped(
            http_port=self.http_port, ami_port=self.ami_port, ari_password=self.ari_password, ami_secret=self.ami_secret
        )
        files |= configuration.own(
            version=self.version,
            sip_port=self.sip_port,
            rtp_start=self.rtp_start,
            rtp_end=self.rtp_end,
            verbose=verbose,
            host=HOST,
            trusted_host=TRUSTED_HOST,
        )
        files["manager.conf"] += configuration.rig_manager(self._rig_secret)
        for name, text in files.items():
            (self.directory / "etc" / name).write_text(text)

    # --- life cycle ---

    def start(self) -> None:
        """Start, and return when Asterisk has booted fully; raises errors.NotReady with the end of its log."""
        if self._created:
            engine.docker("start", self.container)
        else:
            image = images.asterisk(self.version)
            engine.remove_orphans()
            hostname = socket.gethostname()
            engine.docker(
                "run",
                "-d",
                "--name",
                self.container,
                *engine.labels(),
                "--network",
                "host",
                # Asterisk waits 20 s for DNS where the machine's own name does not resolve.
                "--add-host",
                f"{hostname}:127.0.0.1",
                "--user",
                f"{os.getuid()}:{os.getgid()}",
                "--stop-signal",
                "SIGTERM",
                "-v",
                f"{self.directory}:/rig",
                image,
                # The module directory has the machine's architecture in its name; that of 16 has not.
                "sh",
                "-c",
                "for modules in /usr/lib/asterisk/modules /usr/lib/*/asterisk/modules; do "
                'if [ -d "$modules" ]; then ln -sfn "$modules" /rig/run/modules; fi; done; '
                "exec asterisk -f -C /rig/etc/asterisk.conf",
            )
            self._created = True
        self._wait_until_booted()

    def _wait_until_booted(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, errors.RigError), self.session() as session:
                while ("Event", "FullyBooted") not in session.read():
                    pass
                return
            if not self.running():
                break
            time.sleep(0.05)
        said = subprocess.run(["docker", "logs", "--tail", "20", self.container], capture_output=True, check=False)
        raise errors.NotReady(
            f"Asterisk did not boot within {START_DEADLINE:.0f} s:\n{self.log()[-2000:]}\n"
            f"{(said.stdout + said.stderr).decode(errors='replace')}"
        )

    def running(self) -> bool:
        """Tell whether the container runs."""
        return engine.docker("inspect", "--format", "{{.State.Running}}", self.container).strip() == "true"

    def stop(self) -> None:
        """Stop Asterisk cleanly; its database and log stay, start() starts it again."""
        engine.docker("stop", "-t", str(STOP_SECONDS), self.container)

    def restart(self) -> None:
        """Stop cleanly and start again, with the same ports and the same database."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill Asterisk without warning; start() starts it again."""
        engine.docker("kill", "--signal", "KILL", self.container)

    def pause(self) -> None:
        """Freeze every thread of Asterisk."""
        engine.docker("kill", "--signal", "STOP", self.container)

    def unpause(self) -> None:
        """Let a frozen Asterisk go on."""
        engine.docker("kill", "--signal", "CONT", self.container)

    def remove(self) -> None:
        """Remove the container; the directory stays."""
        if self._created:
            engine.remove(self.container)
            self._created = False

    def __enter__(self) -> typing.Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.remove()

    # --- looking in ---

    def session(self) -> ami.Ami:
        """Return an AMI session of the rig's own user, which may do more than the gateway's."""
        return ami.Ami(self.ami_host, self.ami_port, "rig", self._rig_secret)

    def cli(self, command: str) -> str:
        """Run a command of Asterisk's command line and return what it printed."""
        with self.session() as session:
            answer = session.action("Command", Command=command)
        return "\n".join(value for key, value in answer if key == "Output")

    def database(self, family: str) -> dict[str, str]:
        """Return the entries of one AstDB family, without the family's name before the keys."""
        found = {}
        with self.session() as session:
            session.action("DBGetTree", Family=family)
            while True:
                event = dict(session.read())
                if event.get("Event") == "DBGetTreeResponse":
                    found[event["Key"].removeprefix(f"/{family}/")] = event["Val"]
                if event.get("Event") == "DBGetTreeComplete":
                    return found

    def database_clear(self, family: str) -> None:
        """Delete one AstDB family."""
        with self.session() as session, contextlib.suppress(errors.RigError):
            session.action("DBDelTree", Family=family)

    def channels(self) -> int:
        """Return how many channels there are."""
        return int(self.cli("core show channels count").split()[0])

    def log(self) -> str:
        """Return Asterisk's whole log so far."""
        path = self.directory / "log" / "full"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, what: str, condition: collections.abc.Callable[[], bool], *, deadline: float = 10.0) -> None:
        """Wait until a condition holds; raises errors.NotReady, with the end of the log, when it never does."""
        end = time.monotonic() + deadline
        while not condition():
            if time.monotonic() > end:
                raise errors.NotReady(f"{what}: not within {deadline:.0f} s\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def wait_for_no_channels(self, *, deadline: float = 10.0) -> None:
        """Wait until no call is left."""
        self.wait_for("all calls over", lambda: self.channels() == 0, deadline=deadline)

    # --- configuration ---

    def load_dialplan(self, text: str) -> None:
        """Replace everything of the dialplan but the shipped subroutine, and load it."""
        self.configure("extensions_test.conf", text)
        self.cli("dialplan reload")
        for context in re.findall(r"^\[([^\]]+)\]", text, re.MULTILINE):
            if context not in ("general", "globals") and f"Context '{context}'" not in self.cli(
                f"dialplan show {context}"
            ):
                raise errors.RigError(
                    f"Asterisk did not take the dialplan's context [{context}]:\n{self.log()[-1500:]}"
                )

    def phones(self, contacts: dict[str, str]) -> None:
        """Have PJSIP/NAME ring at a SIP address, for each of these names and for no other."""
        self.configure("pjsip_phones.conf", configuration.phones(contacts, HOST))
        self.cli("module reload res_pjsip.so")
        self.wait_for(
            "the phones are known", lambda: all(f"{name}/" in self.cli("pjsip show aors") for name in contacts)
        )

    def configure(self, name: str, text: str) -> None:
        """Write one file of Asterisk's configuration; reload what reads it with cli()."""
        path = self.directory / "etc" / name
        written = path.with_suffix(".new")
        written.write_text(text)
        shutil.move(written, path)
