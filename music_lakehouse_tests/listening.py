"""Which addresses processes listen on."""

from __future__ import annotations

import psutil


def listening(process: psutil.Process) -> dict[str, set[str]]:
    """The addresses, without ports, on which the process and all that it started listen, by the processes' names."""
    found: dict[str, set[str]] = {}
    for one in (process, *process.children(recursive=True)):
        for connection in one.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.setdefault(one.name(), set()).add(connection.laddr.ip.removeprefix("::ffff:"))
    return found
