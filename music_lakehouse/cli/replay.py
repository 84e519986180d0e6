"""`music-lakehouse replay`: recorded events, put on the topics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: music-lakehouse replay recordings/2018-11 listen_events.jsonl.gz"


def replay(
    paths: Annotated[
        list[Path], typer.Argument(exists=True, help="Files of JSON lines, or directories of such files.")
    ],
) -> None:
    """Send recorded events to Kafka, in order.

    A file or directory named by a topic holds that topic's messages, which are sent as they are; every other file is a
    single stream of pages, of which listens, status changes and log-ins are made too. No line is left out.
    """
    from music_lakehouse.cli.sending import Sent, send, show_sent
    from music_lakehouse.settings import Settings
    from music_lakehouse.simulator.replay import read_recorded

    settings = Settings()
    sent = Sent()
    try:
        send(read_recorded(paths), settings, directory=None, sent=sent)
    finally:
        if sent.total:
            show_sent(sent, settings, directory=None)
