"""Fixtures for tests against a real Asterisk in a container."""

import collections.abc
import contextlib
import pathlib

import pytest

from rig import asterisk as rig_asterisk
from rig import engine, errors, images
from tests.acceptance import lab as labs

AsteriskFactory = collections.abc.Callable[[], rig_asterisk.Asterisk]


NO_IMAGES = pytest.StashKey[str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing before any clock of a test runs, and show how it goes."""
    if session.config.option.collectonly or not any(item.get_closest_marker("asterisk") for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        try:
            engine.require()
            images.asterisk()
            images.sipp()
        except errors.RigError as error:
            session.config.stash[NO_IMAGES] = f"{error} (as make test does: docker/with-engine .venv/bin/pytest)"


@pytest.fixture(scope="session")
def asterisk_images(pytestconfig: pytest.Config) -> None:
    """The images; without an engine every test that needs them fails and says what to do."""
    if reason := pytestconfig.stash.get(NO_IMAGES, None):
        pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def shared_asterisk(
    asterisk_images: None, tmp_path_factory: pytest.TempPathFactory
) -> collections.abc.Iterator[rig_asterisk.Asterisk]:
    """One Asterisk for the whole session."""
    with rig_asterisk.Asterisk(tmp_path_factory.mktemp("asterisk")) as running:
        yield running


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
def fresh_asterisk(asterisk_images: None, tmp_path: pathlib.Path) -> collections.abc.Iterator[AsteriskFactory]:
    """Make Asterisks for one test alone: to restart, kill or reconfigure; they run when they are returned."""
    made: list[rig_asterisk.Asterisk] = []

    def make() -> rig_asterisk.Asterisk:
        made.append(rig_asterisk.Asterisk(tmp_path / f"asterisk-{len(made)}"))
        made[-1].start()
        return made[-1]

    yield make
    for running in made:
        running.remove()
