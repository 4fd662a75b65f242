"""One sipp in a container: its scenario, its ports, its logs."""

import pathlib
import shutil
import subprocess
import tempfile
import uuid

from rig import engine, images, ports

SCENARIOS = pathlib.Path(__file__).parent / "scenarios"


def part(name: str, values: dict[str, str]) -> str:
    """Return a part of a scenario, with its %NAMES% filled in."""
    text = (SCENARIOS / name).read_text()
    for key, value in values.items():
        text = text.replace(f"%{key}%", value)
    return text


def scenario(name: str, values: dict[str, str]) -> bytes:
    """Return a scenario, with its %NAMES% filled in."""
    return part(name, values).encode()


class Process:
    """One sipp process in its container."""

    def __init__(
        self,
        scenario: bytes,
        arguments: list[str],
        *,
        host: str,
        remote: str | None = None,
        values: dict[str, bytes] | None = None,
        files: dict[str, bytes] | None = None,
    ) -> None:
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="agi-sms-sipp-"))
        self.container = f"agi-sms-sipp-{uuid.uuid4().hex[:12]}"
        self.port, media = ports.free(2)
        # Process ids are small and alike in containers, so what sipp makes of them would repeat itself.
        run = uuid.uuid4().hex
        (self.directory / "scenario.xml").write_bytes(scenario.replace(b"%RUN%", run.encode()))
        for name, content in (files or {}).items():
            (self.directory / name).write_bytes(content)
        keys = []
        for name, value in (values or {}).items():
            (self.directory / name).write_bytes(value)
            keys.append(f'-key {name} "$(cat {name})"')
        # A value goes in by a file: the engine's own interface spoils an argument that is not UTF-8.
        self._process = subprocess.Popen(
            [
                "docker",
                "run",
                "--rm",
                "--name",
                self.container,
                *engine.labels(),
                "--network",
                "host",
                "--init",
                "-v",
                f"{self.directory}:/sipp",
                "-w",
                "/sipp",
                "--entrypoint",
                "sh",
                images.sipp(),
                "-c",
                f'exec sipp "$@" {" ".join(keys)}',
                "sipp",
                *([remote] if remote else []),
                "-sf",
                "scenario.xml",
                "-i",
                host,
                "-p",
                str(self.port),
                "-mi",
                host,
                "-min_rtp_port",
                str(media),
                "-cid_str",
                f"%u-{run}",
                "-nostdin",
                "-trace_shortmsg",
                "-shortmessage_file",
                "messages.csv",
                "-trace_err",
                "-error_file",
                "errors.log",
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def finished(self) -> bool:
        """Tell whether sipp has ended."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End sipp and remove its container."""
        if not self.finished():
            engine.remove(self.container)
        self._process.communicate()

    def remove_files(self) -> None:
        """Remove the directory with scenario and logs."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def errors(self) -> str:
        """Return what sipp complained of."""
        path = self.directory / "errors.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def messages(self) -> list[list[str]]:
        """Return the rows of the message log."""
        path = self.directory / "messages.csv"
        return [line.split("\t") for line in path.read_text(errors="replace").splitlines()] if path.exists() else []
