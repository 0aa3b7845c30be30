"""Where the file may lie."""

from __future__ import annotations

import os
from contextlib import suppress

from async_task.spi.errors import ConfigurationError

_SHARED = frozenset(
    [
        "afs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "gfs2",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
    ]
)
"""File systems that several hosts share. SQLite's log needs memory that all its users share, and
locks that hold, neither of which they give."""

_MOUNTS = "/proc/self/mountinfo"


def check_place(path: str) -> None:
    """Refuse a place where no file can be, or where it would not be safe.

    Raises:
        ConfigurationError: Says what is wrong with it.
    """
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise ConfigurationError(
            f"the directory of sqlite_path, {directory}, does not exist; make it first"
        )
    if os.path.isdir(path):
        raise ConfigurationError(
            f"sqlite_path {path} is a directory; name a file, for example "
            f"{os.path.join(path, 'async-task.db')}"
        )
    with suppress(OSError):  # only Linux tells
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as mounts:
            kind = file_system(os.path.realpath(directory), mounts.read())
        if kind in _SHARED:
            raise ConfigurationError(
                f"sqlite_path {path} is on a network file system ({kind}), where SQLite loses "
                "data; put it on a disk of this host, or use a driver with a server"
            )


def file_system(directory: str, mounts: str) -> str:
    """Return the type of the file system that a directory is on.

    Args:
        directory: An absolute path without links.
        mounts: What `/proc/self/mountinfo` says: of each mount its directory as fifth word, with
            blanks in octal, and its type after a lone dash. The last one on a directory counts.
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].replace("\\040", " ")
        inside = directory == point or directory.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split(" ")[0]
    return kind
