"""Files whose names come from outside this package: read within limits, and never waited for."""

from __future__ import annotations

import errno
import os
import stat

#: No bundle of certificates of a whole platform is larger, in bytes. The program has the same
#: limit.
LARGEST = 16 * 1024 * 1024


def read(path: "str | os.PathLike[str]", limit: int = LARGEST) -> bytes:
    """The content of a file. Anything that is not a regular file, and more than ``limit`` bytes are an :class:`OSError`."""
    # Before it is opened, too: to open a device or a pipe can have an effect.
    check(path, limit)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        _check(os.fstat(file.fileno()), limit)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_large(limit)
    return data


def check(path: "str | os.PathLike[str]", limit: int = LARGEST) -> None:
    """Raises an :class:`OSError` if :func:`read` would, without the content."""
    try:
        _check(os.stat(path), limit)
    except ValueError:  # A NUL.
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from None


def _check(found: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if found.st_size > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {limit} bytes")
