"""Opening files that others may have put there: nothing waits for a pipe, or reads a device without an end."""

import errno
import os
import stat
from pathlib import Path


class NoFile(OSError):
    """Not a plain file."""


def opened(path: Path, *, links: bool) -> int:
    """The descriptor of a plain file, to read. `links` are followed, or are no plain files. Raises NoFile, OSError.

    ValueError where the path is no file name.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags if links else flags | os.O_NOFOLLOW)
    except OSError as error:
        # a socket, or a device that is not there; a link, where none is followed
        if error.errno == errno.ENXIO or (error.errno == errno.ELOOP and not links):
            raise NoFile(error.errno, os.strerror(error.errno)) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NoFile(errno.EINVAL, "is no plain file")
    return fd
