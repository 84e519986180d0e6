"""How files land: written elsewhere, given their time, renamed into place, so that no reader sees half a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)


class LandingError(RuntimeError):
    """A file can't land; the text is one line with the remedy."""


class Staging:
    """A directory for files that are still being written, on the file system of the landing directory `root` (made
    where it's missing), so that a rename moves them. As a context manager: what didn't land is gone after it."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        # Hidden: file sources pass over names that begin with a dot.
        self._directory = TemporaryDirectory(prefix=".simulator-", dir=root)
        self.path = Path(self._directory.name)

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.cleanup()

    def copy_of(self, file: Path) -> Path:
        """A staged file of the same content, staged or landed."""
        copy = self.path / f"copy of {file.name}"
        shutil.copyfile(file, copy)
        return copy


def land(staged: Path, target: Path, modified: datetime | None = None) -> Path:
    """Renames a staged file to `target`, whose directory is made, with this modification time (None: that of writing).

    Raises LandingError where the target is there: what has landed never changes.
    """
    if target.exists():
        raise LandingError(f"{target} has landed already, and what has landed never changes: start at another time")
    if modified is not None:
        nanoseconds = (modified - EPOCH) // MILLISECOND * 1_000_000
        os.utime(staged, ns=(nanoseconds, nanoseconds))
    target.parent.mkdir(parents=True, exist_ok=True)
    return staged.rename(target)


def landed_files(directory: Path, pattern: str) -> list[Path]:
    """The files that landed there, in the order of their modification times, then names; none without a directory."""
    return sorted(directory.glob(pattern), key=lambda file: (file.stat().st_mtime_ns, file.name))


def last_landing(directories: Sequence[Path], pattern: str) -> datetime | None:
    """The modification time, in UTC to the millisecond, of the file that landed last; None where there is none."""
    times = [file.stat().st_mtime_ns for directory in directories for file in landed_files(directory, pattern)[-1:]]
    return EPOCH + max(times) // 1_000_000 * MILLISECOND if times else None


def present() -> datetime:
    """The present time in UTC, to the millisecond that has passed."""
    return EPOCH + (datetime.now(timezone.utc) - EPOCH) // MILLISECOND * MILLISECOND


def evenly(first: datetime, last: datetime, count: int) -> Iterator[datetime]:
    """`count` moments, evenly spread after `first` up to `last`, whole milliseconds and at least one apart."""
    step = max((last - first) / count, MILLISECOND)
    for number in range(1, count + 1):
        yield first + number * step // MILLISECOND * MILLISECOND
