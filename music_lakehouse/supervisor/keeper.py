"""Runs a command for as long as whoever asked for it lives.

    python -m music_lakehouse.supervisor.keeper SIGNAL SECONDS COMMAND …

The command gets a process group of its own. It ends, with all of its group, when the keeper's standard input closes,
which it does however the process at its other end ends: by SIGNAL first, and what is left after SECONDS is killed.
Where the command ends by itself, what it left in its group is killed, and the keeper ends with its exit code.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

SECONDS_BETWEEN_LOOKS = 0.1
# Of <linux/prctl.h>: https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html
_PR_SET_PDEATHSIG = 1


def main(stop_signal: int, stop_seconds: float, command: Sequence[str]) -> int:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever asked says when: also where these are sent to everything of a terminal.
        signal.signal(ignored, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_as_a_child)
    try:
        while child.poll() is None:
            readable, _, _ = select.select([sys.stdin], [], [], SECONDS_BETWEEN_LOOKS)
            if readable and not os.read(sys.stdin.fileno(), 1):
                child.send_signal(stop_signal)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(stop_seconds)
                break
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def _as_a_child() -> None:
    if sys.platform == "linux":
        # Where the keeper itself is killed, nobody could end the command: then it is killed with it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_DFL)


if __name__ == "__main__":
    code = main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
    # Of a command that a signal ended the shell's code, 128 and the signal's number.
    sys.exit(128 - code if code < 0 else code)
