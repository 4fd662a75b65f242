"""The Docker client, as far as the rig needs it."""

import os
import pathlib
import shutil
import subprocess

from rig import errors

LABEL = "agi-sms.rig"
OWNER_LABEL = "agi-sms.owner"


def docker(*arguments: str, stdin: bytes | None = None, timeout: float = 120.0) -> str:
    """Run one docker command and return what it printed; raises errors.RigError with its own words."""
    try:
        ended = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, timeout=timeout, check=False)
    except FileNotFoundError as error:
        raise errors.NoEngine("there is no docker command; run this through docker/with-engine") from error
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip()
        raise errors.RigError(f"docker {arguments[0]} failed: {said}")
    return ended.stdout.decode(errors="replace")


def answers() -> bool:
    """Tell whether an engine answers."""
    if shutil.which("docker") is None:
        return False
    try:
        docker("version", "--format", "{{.Server.Version}}", timeout=15)
    except (errors.RigError, subprocess.TimeoutExpired):
        return False
    return True


def require() -> None:
    """Raise errors.NoEngine, with what to do, where no engine answers."""
    if not answers():
        raise errors.NoEngine("no Docker engine answers here; run the command through docker/with-engine")


def labels() -> list[str]:
    """Return the options that mark a container as this process's own."""
    return ["--label", LABEL, "--label", f"{OWNER_LABEL}={os.getpid()}"]


def remove(*containers: str) -> None:
    """Remove containers at once, running or not."""
    if containers:
        docker("rm", "-f", "-v", *containers)


def remove_orphans() -> None:
    """Remove the containers of rig processes that are gone, so that a killed run leaves nothing behind."""
    listed = docker("ps", "-a", "--filter", f"label={LABEL}", "--format", f'{{{{.ID}}}} {{{{.Label "{OWNER_LABEL}"}}}}')
    orphans = []
    for line in listed.splitlines():
        identity, _, owner = line.partition(" ")
        if not (owner.isdigit() and pathlib.Path(f"/proc/{owner}").exists()):
            orphans.append(identity)
    remove(*orphans)
