"""Whether the file system of the state folder can hold the ledger: locks must work, on every machine that mounts it.

SQLite's write-ahead log needs memory that all processes share, so it works on one machine only: on a network file
system the ledger uses a rollback journal (sqlite.org/wal.html). Its locks are those of fcntl(2).
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = {
    "nfs": ("nolock", "local_lock=all", "local_lock=posix"),
    "nfs4": ("nolock", "local_lock=all", "local_lock=posix"),
    "cifs": ("nobrl", "nolock"),
    "smb3": ("nobrl", "nolock"),
    "lustre": ("localflock", "noflock"),
    "gpfs": (),
    "ceph": (),
    "fuse.ceph": (),
    "fuse.glusterfs": (),
    "panfs": (),
    "wekafs": (),
    "orangefs": (),
    "beegfs": (),
    "beegfs_nodev": (),
    "9p": (),
    "virtiofs": (),
    "gfs2": ("localflocks",),
    "ocfs2": ("localflocks",),
    "prl_fs": (),
    "vboxsf": (),
    "fuse.vmhgfs-fuse": (),
}
"""The type of a network file system → the mount options with which its locks count on one machine only, from the manual
pages nfs(5), mount.cifs(8), mount.lustre(8)."""
_WITHOUT_LOCKS = {
    "afs": "its locks do not reach other machines",
    "afs3": "its locks do not reach other machines",
    "openafs": "its locks do not reach other machines",
    "fuse.sshfs": "its locks do not reach other machines",
    "fuse.rclone": "it has no locks",
    "fuse.s3fs": "it has no locks",
    "fuse.gcsfuse": "it has no locks",
    "fuse.goofys": "it has no locks",
    "fuse.mount-s3": "it has no locks",
    "fuse.gvfsd-fuse": "it has no locks",
}
"""The type of a file system on which a ledger is refused → why."""


def why_refused(folder: Path, *, mounts: Path = MOUNTS) -> str:
    """Why the ledger cannot be in this folder; empty if it can. Locking is tried.

    Args:
        folder: the state folder, which exists.
        mounts: the mounted file systems, as in proc(5), ``/proc/PID/mountinfo``.

    Raises:
        OSError: the folder cannot be written.
    """
    kind, options = _mounted_at(folder, mounts)
    if kind in _WITHOUT_LOCKS:
        return f"it is on a file system of type {kind}: {_WITHOUT_LOCKS[kind]}"
    bad = [option for option in _NETWORK.get(kind, ()) if option in options]
    if bad:
        return f"it is on a network file system ({kind}), mounted with {bad[0]}: its locks do not reach other machines"
    return _try_locks(folder, kind)


def is_shared(folder: Path, *, mounts: Path = MOUNTS) -> bool:
    """Whether the folder is on a network file system: other machines may use it too."""
    return _mounted_at(folder, mounts)[0] in _NETWORK


def _try_locks(folder: Path, kind: str) -> str:
    path = folder / f".lock-{secrets.token_hex(4)}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return f"its file system{f' ({kind})' if kind else ''} does not lock files: {error.strerror}"
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)
    return ""


def _mounted_at(folder: Path, mounts: Path) -> tuple[str, set[str]]:
    """The type and the options of the file system of a folder; empty where the system does not tell."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return "", set()
    target, best, found = str(folder.resolve()), -1, ("", set[str]())
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, after = left.split(), right.split()
        if len(fields) < 6 or len(after) < 3:
            continue
        where = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
        inside = where == "/" or target == where or target.startswith(f"{where}/")
        if inside and len(where) >= best:  # of two at the same place, the later one hides the other
            best, found = len(where), (after[0], {*fields[5].split(","), *after[2].split(",")})
    return found
