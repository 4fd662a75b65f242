"""What this machine's own package managers use, so that an image build can use the same."""

import json
import os
import pathlib
import re
import select
import shutil
import subprocess
import sys
import typing

from rig import errors

APT_SETTINGS = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")


def _printed(*command: str) -> str:
    """Return what a command printed, nothing where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _apt_settings() -> dict[str, str]:
    """Return apt's settings here."""
    return dict(re.findall(r'^(\S+) "(.+)";$', _printed("apt-config", "dump"), re.MULTILINE))


def apt_options() -> list[str]:
    """Return the options with which apt in an image takes what apt here takes, as from an old mirror."""
    return [f"-o {name}={value}" for name, value in _apt_settings().items() if name in APT_SETTINGS]


def proxies() -> dict[str, str]:
    """Return the environment by which programs other than apt use the proxy that apt has."""
    settings = _apt_settings()
    names = {"http_proxy": "Acquire::http::Proxy", "https_proxy": "Acquire::https::Proxy"}
    return {name: settings[setting] for name, setting in names.items() if setting in settings}


def mirror() -> str:
    """Return the address of the Debian mirror that apt uses here; apt itself reads its sources, in any format."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', pathlib.Path("/etc/os-release").read_text(), re.MULTILINE))
    suites = {release.get("VERSION_CODENAME", ""), "stable", "testing", "unstable", "sid", "oldstable"} - {""}
    targets = _printed(
        "apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"
    )
    for line in targets.splitlines():
        suite, _, rest = line.partition(" ")
        component, _, address = rest.partition(" ")
        if suite in suites and component == "main":
            if address.startswith("mirror+file:"):
                listed = pathlib.Path(address.removeprefix("mirror+file:").rstrip("/")).read_text().split()
                return listed[0]
            return address
    raise errors.BuildFailed("no Debian mirror is named in this machine's apt sources")


def pip_files() -> dict[str, bytes]:
    """Return what pip in an image build needs here beyond the usual: its settings and certificates, maybe nothing."""
    printed = _printed(sys.executable, "-m", "pip", "config", "list")
    settings: dict[str, str] = dict(re.findall(r"^[\w:.]*?\.([\w-]+)='(.*)'$", printed, re.MULTILINE))
    lines = [
        f"{name} = {settings[name]}"
        for name in ("index-url", "trusted-host", "proxy", "timeout", "default-timeout")
        if name in settings
    ]
    files: dict[str, bytes] = {}
    if "cert" in settings and (certificates := pathlib.Path(settings["cert"])).is_file():
        files["docker/pip/ca.crt"] = certificates.read_bytes()
        lines.append("cert = /build/ca.crt")
    if lines:
        files["docker/pip/pip.conf"] = ("[global]\n" + "\n".join(lines) + "\n").encode()
    return files


def npm_files() -> dict[str, bytes]:
    """Return what npm in an image build needs here beyond the usual: its registry and certificates, no passwords."""
    settings = _npm_settings()
    lines = [f"{name}={settings[name]}" for name in ("registry", "proxy", "https-proxy", "noproxy") if name in settings]
    files: dict[str, bytes] = {}
    if "cafile" in settings and (certificates := pathlib.Path(settings["cafile"])).is_file():
        files["docker/npm/ca.crt"] = certificates.read_bytes()
        lines.append("cafile=/build/ca.crt")
    if lines:
        files["docker/npm/npmrc"] = ("\n".join(lines) + "\n").encode()
    return files


def _npm_settings() -> dict[str, str]:
    """Return npm's settings here; where there is no npm, those that it would read."""
    if printed := _printed("npm", "config", "list", "--json"):
        return {name: value for name, value in json.loads(printed).items() if value and isinstance(value, str)}
    settings: dict[str, str] = {}
    for path in (pathlib.Path("/etc/npmrc"), pathlib.Path.home() / ".npmrc"):
        if path.is_file():
            settings.update(re.findall(r"^([\w-]+)\s*=\s*(\S+)\s*$", path.read_text(), re.MULTILINE))
    for variable, value in os.environ.items():
        if variable.lower().startswith("npm_config_"):
            settings[variable.lower().removeprefix("npm_config_").replace("_", "-")] = value
    return settings


def readable(stream: typing.IO[bytes], timeout: float) -> bool:
    """Tell whether a pipe has something to read within so many seconds."""
    return bool(select.select([stream], [], [], timeout)[0])
