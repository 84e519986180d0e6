"""A disk of its own for the lake, whose room can be taken away and given back: a file system in memory.

Mounting needs root, or a user namespace of our own, in which everybody is root.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOM = "50%"
"""Of the machine's memory; only what is written takes any."""
TRIES = 20


class Disk:
    """The file system mounted at `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @contextmanager
    def full(self, *, leave: int) -> Iterator[None]:
        """Inside, so many bytes are left, and no more come free than are removed."""
        try:
            self._take(leave)
            yield
        finally:
            self._mount("remount", f"size={ROOM}")

    def _take(self, leave: int) -> None:
        for more in range(TRIES):
            taken = os.statvfs(self.place)
            used = (taken.f_blocks - taken.f_bfree) * taken.f_frsize
            try:
                self._mount("remount", f"size={used + leave + more * taken.f_frsize}")
            except subprocess.CalledProcessError:
                # More was written meanwhile than would fit.
                if more == TRIES - 1:
                    raise
            else:
                return

    @contextmanager
    def mounted(self) -> Iterator[Disk]:
        self.place.mkdir(parents=True, exist_ok=True)
        self._mount(f"size={ROOM}")
        try:
            yield self
        finally:
            subprocess.run(["umount", "--lazy", str(self.place)], check=True)

    def _mount(self, *options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(self.place)]
        subprocess.run(command, check=True, capture_output=True)


def may_mount() -> bool:
    """Whether this process may mount a file system, here or in a user namespace."""
    return sys.platform == "linux" and (os.geteuid() == 0 or _succeeds("unshare", "--user", "--mount", "true"))


def enter_namespace(command: Sequence[str]) -> None:
    """Go on as the command in a user namespace in which mounting is allowed; nothing where it is allowed already."""
    if os.geteuid() != 0:
        unshare = ["unshare", "--user", "--map-root-user", "--mount", *command]
        os.execvp(unshare[0], unshare)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
