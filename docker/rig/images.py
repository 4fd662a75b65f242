"""The images, built when they are first wanted, and again when what they are made of changes."""

import collections.abc
import contextlib
import dataclasses
import fcntl
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

from rig import engine, errors, host, steps

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
PULL_ANSWER = 20.0
PULL_DEADLINE = 600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """A Debian release to build on: where a registry has it, and how debootstrap makes it."""

    name: str
    script: str

    @property
    def official(self) -> str:
        """The image that a registry has."""
        return f"debian:{self.name}-slim"

    @property
    def own(self) -> str:
        """The image that we make where none can be pulled."""
        return f"agi-sms/debian:{self.name}"


FORKY = Release(name="forky", script="sid")
BOOKWORM = Release(name="bookworm", script="bookworm")
BULLSEYE = Release(name="bullseye", script="bullseye")
ASTERISK_RELEASES = {"22": FORKY, "16": BULLSEYE}
# Debian's package of 16 leaves app_voicemail to one of its own.
ASTERISK_PACKAGES = {"22": "asterisk", "16": "asterisk asterisk-voicemail"}


def asterisk(version: str = "22") -> str:
    """Return the image with that major version of Asterisk, building it first where it is missing."""
    return _image(
        f"agi-sms/asterisk:{version}",
        "asterisk.Dockerfile",
        ASTERISK_RELEASES[version],
        arguments={"PACKAGES": ASTERISK_PACKAGES[version]},
    )


def sipp() -> str:
    """Return the image with sipp, building it first where it is missing."""
    return _image("agi-sms/sipp:latest", "sipp.Dockerfile", FORKY)


def gateway() -> str:
    """Return the image with the gateway, building it first where it is missing or older than the sources."""
    files = [
        path for path in sorted((ROOT / "agi_sms").rglob("*")) if path.is_file() and "__pycache__" not in path.parts
    ]
    files += [ROOT / name for name in ("pyproject.toml", "requirements.lock", "README.md", "LICENSE")]
    content = {str(path.relative_to(ROOT)): path.read_bytes() for path in files}
    return _image("agi-sms/gateway:latest", "gateway.Dockerfile", BOOKWORM, content, host.pip_files)


def peers() -> str:
    """Return the image with what tests send to, building it first where it is missing."""
    content = {f"docker/peers/{path.name}": path.read_bytes() for path in sorted((DOCKER / "peers").iterdir())}
    return _image("agi-sms/peers:latest", "peers.Dockerfile", BOOKWORM, content, host.npm_files)


def main() -> None:
    """Build all images and print their names."""
    engine.require()
    for image in (*map(asterisk, ASTERISK_RELEASES), sipp(), peers(), gateway()):
        print(image)


# --- building --------------------------------------------------------------------------------------------


def _image(
    tag: str,
    dockerfile: str,
    release: Release,
    content: dict[str, bytes] | None = None,
    machine: collections.abc.Callable[[], dict[str, bytes]] = dict,
    *,
    arguments: dict[str, str] | None = None,
) -> str:
    """Return the tag of an image made of this content; machine files help to build it and are no part of it."""
    source = (DOCKER / dockerfile).read_bytes()
    digest = hashlib.sha256(source + release.name.encode())
    for argument, value in sorted((arguments or {}).items()):
        digest.update(f"\0{argument}={value}".encode())
    for path, data in sorted((content or {}).items()):
        digest.update(f"\0{path}\0{len(data)}\0".encode() + data)
    name, _, version = tag.partition(":")
    exact = f"{name}:{version}-{digest.hexdigest()[:12]}"
    if _exists(exact):
        return exact
    with _lock():
        if _exists(exact):
            return exact
        base = _base(release)
        context = _tar({"Dockerfile": source, **(content or {}), **machine()})
        command = [
            "docker",
            "build",
            "--network",
            "host",
            "--build-arg",
            f"BASE={base}",
            "--build-arg",
            f"APT_OPTIONS={' '.join(host.apt_options())}",
        ]
        # Docker itself keeps a proxy out of an image's history; its address may hold a password.
        for variable, value in {**(arguments or {}), **host.proxies()}.items():
            command += ["--build-arg", f"{variable}={value}"]
        command += ["--force-rm", "-t", exact, "-t", tag, "-"]
        steps.run(f"building the image {tag}", command, stdin=context)
        _forget_older(name, f"{version}-", exact)
    return exact


def _forget_older(name: str, prefix: str, newest: str) -> None:
    """Remove the names of images that this one replaces; one that a container still uses stays."""
    for older in engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}", name).split():
        if older.startswith(f"{name}:{prefix}") and older != newest:
            with contextlib.suppress(errors.RigError):
                engine.docker("rmi", older)


def _base(release: Release) -> str:
    """Return an image of that Debian release: a present one, a pulled one, or one made by debootstrap."""
    for name in (release.official, release.own):
        if _exists(name):
            return name
    if _pull(release.official):
        return release.official
    _bootstrap(release)
    return release.own


def _pull(name: str) -> bool:
    """Try to pull an image; a registry that does not answer soon counts as none."""
    with (
        steps.shown(f"pulling {name}"),
        subprocess.Popen(["docker", "pull", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as pull,
    ):
        assert pull.stdout is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            if host.readable(pull.stdout, PULL_ANSWER):
                pull.communicate(timeout=PULL_DEADLINE)
        pull.kill()
    if pull.returncode != 0:
        print(f"{name} cannot be pulled here, it is made with debootstrap instead", file=sys.stderr, flush=True)
    return pull.returncode == 0


def _bootstrap(release: Release) -> None:
    """Make the base image from the machine's own Debian mirror."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise errors.BuildFailed(f"{release.official} cannot be pulled, and making it needs root on Debian")
    if shutil.which("debootstrap") is None:
        steps.run(
            "installing debootstrap",
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-y", "install", "--no-install-recommends", "debootstrap"],
            env={"DEBIAN_FRONTEND": "noninteractive"},
        )
    with tempfile.TemporaryDirectory(prefix="agi-sms-debian-") as directory:
        steps.run(
            f"making Debian {release.name} with debootstrap",
            ["debootstrap", "--variant=minbase", release.name, directory, host.mirror(), release.script],
            env=host.proxies(),
        )
        for unwanted in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            shutil.rmtree(pathlib.Path(directory) / unwanted, ignore_errors=True)
        (pathlib.Path(directory) / "var/cache/apt/archives/partial").mkdir(parents=True)
        steps.run(
            f"importing Debian {release.name}",
            ["sh", "-c", 'tar -C "$1" -c . | docker import - "$2"', "import", directory, release.own],
        )


def _exists(name: str) -> bool:
    """Tell whether the engine has an image."""
    try:
        engine.docker("image", "inspect", "--format", "{{.Id}}", name)
    except errors.NoEngine:
        raise
    except errors.RigError:
        return False
    return True


def _tar(files: dict[str, bytes]) -> bytes:
    """Pack a build context."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


@contextlib.contextmanager
def _lock() -> collections.abc.Iterator[None]:
    """Let one process at a time build: two would do the same work twice, and use the same package cache."""
    path = pathlib.Path(tempfile.gettempdir()) / f"agi-sms-build-{os.getuid()}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another run builds images, waiting for it ...", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
