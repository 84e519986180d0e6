from __future__ import annotations

import io

from rich.console import Console

from music_lakehouse.cli.screen import Screen
from music_lakehouse.cli.standing import Seen
from music_lakehouse.supervisor.supervisor import Standing, State

SEEN = Seen(
    unread=1200,
    behind=300,
    rate=19.96,
    streams=45_678,
    run="streaming_pipeline success in 9 s, begun 12:00:00 UTC",
    failing=tuple(f"gold.t{number} c (error)" for number in range(7)),
)


def piped() -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen({}, out=Console(file=out, width=200)), out


def rendered(screen: Screen) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(screen.render())
    return out.getvalue()


def test_without_a_terminal_it_prints_a_line_for_what_happens_and_one_look_a_half_minute() -> None:
    screen, out = piped()
    with screen:
        screen.say("Kafka is up")
        screen.show(SEEN)
        screen.show(SEEN)
    lines = [line.partition(" ")[2] for line in out.getvalue().splitlines()]
    assert lines == [
        "Kafka is up",
        "20.0 events a second; 1,200 messages that raw lacks, 300 listens that gold lacks; 45,678 streams",
        "Last run: streaming_pipeline success in 9 s, begun 12:00:00 UTC",
        "Checks not passed: " + ", ".join(SEEN.failing[:5]) + " and 2 more",
    ]
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_it_shows_each_parts_state_and_place_and_what_happened_last() -> None:
    out = io.StringIO()
    with Screen({"Spark": "sc://127.0.0.1:15002"}, out=Console(file=out, width=160, force_terminal=True)) as screen:
        parts = {
            "Spark": Standing("Spark", State.DIED, restarts=3, reason="ended by SIGKILL"),
            "Dagster": Standing("Dagster", State.RUNNING),
        }
        screen.watch(parts)
        for number in range(20):
            screen.say(f"it happened {number}")
        screen.show(SEEN)
        text = rendered(screen)
    [spark] = [line for line in text.splitlines() if "Spark" in line]
    assert "died: ended by SIGKILL" in spark
    assert "3" in spark.replace("sc://127.0.0.1:15002", "")
    assert "sc://127.0.0.1:15002" in spark
    assert "Dagster" in text
    assert "running" in text
    assert "1,200 messages that raw lacks" in text
    assert "it happened 19" in text
    assert "it happened 11" not in text
    assert "Ctrl-C stops everything" in text
    assert "\x1b[" in out.getvalue(), "the screen is a live one"


def test_it_says_why_kafka_tells_nothing() -> None:
    screen, out = piped()
    screen.show(Seen(kafka="no broker answered"))
    assert "Kafka: no broker answered" in out.getvalue()
    assert "Last run: none yet" in out.getvalue()
    assert "Checks not passed: none" in out.getvalue()
