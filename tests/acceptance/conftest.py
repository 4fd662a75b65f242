"""Fixtures for tests against a real Asterisk in a container.

Tests run with Asterisk 22. A file, class or test that is to run with several versions says so by a mark, and its tests
have the version in their ids:

    pytestmark = [pytest.mark.asterisk, pytest.mark.asterisk_versions("22", "16")]
"""

import collections.abc
import contextlib
import pathlib

import pytest

from rig import asterisk as rig_asterisk
from rig import engine, errors, images
from tests.acceptance import lab as labs

AsteriskFactory = collections.abc.Callable[[], rig_asterisk.Asterisk]

VERSION = "22"
NO_IMAGES = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "asterisk_versions(*versions): run with each of these, not with 22 alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once with each Asterisk that it is marked for."""
    marker = metafunc.definition.get_closest_marker("asterisk_versions")
    if marker and "asterisk_version" in metafunc.fixturenames:
        metafunc.parametrize("asterisk_version", marker.args, indirect=True, scope="module")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing before any clock of a test runs, and show how it goes."""
    needing = [item for item in session.items if item.get_closest_marker("asterisk")]
    if session.config.option.collectonly or not needing:
        return
    callspecs = [getattr(item, "callspec", None) for item in needing]
    versions = {callspec.params.get("asterisk_version", VERSION) if callspec else VERSION for callspec in callspecs}
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        try:
            engine.require()
            for version in sorted(versions, reverse=True):
                images.asterisk(version)
            images.sipp()
        except errors.RigError as error:
            session.config.stash[NO_IMAGES] = f"{error} (as make test does: docker/with-engine .venv/bin/pytest)"


@pytest.fixture(scope="session")
def asterisk_images(pytestconfig: pytest.Config) -> None:
    """The images; without an engine every test that needs them fails and says what to do."""
    if reason := pytestconfig.stash.get(NO_IMAGES, None):
        pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def asterisks(
    asterisk_images: None, tmp_path_factory: pytest.TempPathFactory
) -> collections.abc.Iterator[collections.abc.Callable[[str], rig_asterisk.Asterisk]]:
    """One Asterisk of each version for the whole session, started when it is first wanted."""
    running: dict[str, rig_asterisk.Asterisk] = {}
    with contextlib.ExitStack() as stack:

        def of(version: str) -> rig_asterisk.Asterisk:
            if version not in running:
                made = rig_asterisk.Asterisk(tmp_path_factory.mktemp("asterisk"), version=version)
                running[version] = stack.enter_context(made)
            return running[version]

        yield of


@pytest.fixture(scope="module")
def asterisk_version(request: pytest.FixtureRequest) -> str:
    """The major version that the test runs with."""
    return str(getattr(request, "param", VERSION))


@pytest.fixture(scope="module")
def shared_asterisk(
    asterisk_version: str, asterisks: collections.abc.Callable[[str], rig_asterisk.Asterisk]
) -> rig_asterisk.Asterisk:
    """The session's Asterisk of that version."""
    return asterisks(asterisk_version)


@pytest.fixture
def asterisk(shared_asterisk: rig_asterisk.Asterisk) -> collections.abc.Iterator[rig_asterisk.Asterisk]:
    """The session's Asterisk, with no calls and no missed visits from another test."""
    shared_asterisk.wait_for_no_channels()
    for family in ("agi-sms", "test"):
        shared_asterisk.database_clear(family)
    yield shared_asterisk
    shared_asterisk.wait_for_no_channels(deadline=20)


@pytest.fixture(scope="module")
def pbx(request: pytest.FixtureRequest, shared_asterisk: rig_asterisk.Asterisk) -> rig_asterisk.Asterisk:
    """The session's Asterisk, with the DIALPLAN of the test's file."""
    shared_asterisk.load_dialplan(request.module.DIALPLAN)
    return shared_asterisk


@pytest.fixture
def lab(
    pbx: rig_asterisk.Asterisk, asterisk: rig_asterisk.Asterisk, tmp_path: pathlib.Path
) -> collections.abc.Iterator[labs.Lab]:
    """Gateways for one test, on the Asterisk that has its file's dialplan."""
    with labs.Lab(pbx, tmp_path) as made:
        yield made


@pytest.fixture
def fresh_asterisk(
    asterisk_images: None, asterisk_version: str, tmp_path: pathlib.Path
) -> collections.abc.Iterator[AsteriskFactory]:
    """Make Asterisks for one test alone: to restart, kill or reconfigure; they run when they are returned."""
    made: list[rig_asterisk.Asterisk] = []

    def make() -> rig_asterisk.Asterisk:
        made.append(rig_asterisk.Asterisk(tmp_path / f"asterisk-{len(made)}", version=asterisk_version))
        made[-1].start()
        return made[-1]

    yield make
    for running in made:
        running.remove()
