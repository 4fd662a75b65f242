"""What can go wrong in the rig.

RigError
├── NoEngine
├── BuildFailed
└── NotReady
"""


class RigError(Exception):
    """The rig cannot do what was asked."""


class NoEngine(RigError):
    """No Docker engine answers; run the command through docker/with-engine."""


class BuildFailed(RigError):
    """An image could not be built."""


class NotReady(RigError):
    """A container did not get ready in time."""
