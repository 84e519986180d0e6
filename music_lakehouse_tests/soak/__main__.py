"""`make soak`: everything runs for a while and is broken every minute; at the end every cell is compared.

Exit code 0 only where all of it held. Arguments after `--` go to `music-lakehouse up`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import psutil

from music_lakehouse.cli.parts import ended_by_ctrl_c
from music_lakehouse.cli.standing import Looker
from music_lakehouse.lakehouse.kafka_access import BROKER_ERRORS
from music_lakehouse.lakehouse.locks import current_holder, lock_file
from music_lakehouse.simulator.broker import free_port
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse.supervisor.supervisor import Supervisor
from music_lakehouse_tests.end_to_end.running import Up
from music_lakehouse_tests.on_the_way import on_the_way
from music_lakehouse_tests.oracle.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.messages import Message, messages_from_kafka
from music_lakehouse_tests.soak import report
from music_lakehouse_tests.soak.disk import Disk, enter_namespace, may_mount
from music_lakehouse_tests.soak.faults import Faults, Happened, simulator
from music_lakehouse_tests.soak.judgement import judge
from music_lakehouse_tests.soak.record import Record, commits_of, deaths_in, runs_of
from music_lakehouse_tests.soak.schedule import DISK, KINDS, plan
from music_lakehouse_tests.soak.watch import Watch, read_samples

REPOSITORY = Path(__file__).parents[2]
FIRST_RUN_SECONDS = 300.0
DRAIN_SECONDS = 900.0
DEAD_WITHIN_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 5.0
"""How long after the simulator's end it is started again: events are to come as soon as the broker is there."""
MAINTENANCES = 12
STOPPING = ("(error)", "(fail)")
SHORTEST_BETWEEN_MAINTENANCES = 60.0


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}", flush=True)


def soak(given: argparse.Namespace, root: Path, disk: Disk | None) -> Record:
    """Let it run in the directory `root`, and return what came of it."""
    up = Up(root, "--no-simulator", "--dashboard-port", str(free_port()), *given.up)
    watch, started = Watch(up, root / "samples.jsonl"), time.time()
    seen: set[psutil.Process] = set()
    try:
        write_reference(up.settings.reference_root)
        up.wait_for(lambda: len(up.listening()) == 4, "all ports", FIRST_RUN_SECONDS)
        with watch:
            sender = simulator(up, given.rate, given.dirty, seed=given.seed)
            with Supervisor([sender], say, longest_wait=LONGEST_WAIT_SECONDS):
                up.wait_for(lambda: up.streams > 0, "rows in gold.wide_streams", FIRST_RUN_SECONDS)
                began = time.time()
                end = began + given.minutes * 60
                upkeep = threading.Thread(target=_keep_up, args=(up, end), daemon=True)
                upkeep.start()
                happened = _break(given, up, disk, began)
                _wait_until(end)
                seen.update(up.children)
            stopped = time.time()
            upkeep.join()
            drain = _drain(up)
            maintain(up)
            messages = messages_from_kafka(up.settings.kafka_bootstrap_servers, up.settings.topics)
        failing = _failing(up)
        seen.update(up.children)
    finally:
        up.stop()
    with dg.DagsterInstance.from_config(str(up.home)) as instance:
        runs = runs_of(instance)
    left = [f"process {process.pid}" for process in psutil.wait_procs(seen, timeout=DEAD_WITHIN_SECONDS)[1]]
    left += [f"port {port}" for port in up.listening()]
    left += [f"the lock {lock_file(up.lake.root)}"] if lock_file(up.lake.root).exists() else []
    left += [f"run {run.run_id} is {run.status}" for run in runs if not run.ended]
    left += [f"exit code {up.process.returncode} of up"] if up.process.returncode else []
    count, events = len(messages), sum(message.event_name == "page_view_events" for message in messages)
    say(f"{count:,} messages: the oracle computes the tables")
    return Record(
        rate=given.rate,
        dirty=given.dirty,
        seed=given.seed,
        began=began,
        stopped=stopped,
        happened=happened,
        samples=read_samples(root / "samples.jsonl"),
        runs=runs,
        deaths=deaths_in(up.log, started),
        commits=commits_of(up.lake),
        drain=drain,
        messages=count,
        events=events,
        differences=_differences(up, messages),
        failing=failing,
        left=left,
        blind=watch.troubles.total(),
    )


def _break(given: argparse.Namespace, up: Up, disk: Disk | None, began: float) -> list[Happened]:
    """The faults as planned, one after the other."""
    faults = Faults(up, disk, given.rate, given.seed)
    happened = []
    for fault in plan(given.seed, given.minutes * 60 * (1 - given.calm), given.every, given.faults):
        _wait_until(began + fault.second)
        say(f"{fault.kind} ...")
        happened.append(faults.inject(fault.kind))
        say(f"{fault.kind}: {happened[-1].told}")
    return happened


def _keep_up(up: Up, until: float) -> None:
    """Maintenance now and then."""
    every = max((until - time.time()) / MAINTENANCES, SHORTEST_BETWEEN_MAINTENANCES)
    while time.time() + every < until:
        time.sleep(every)
        maintain(up)


def maintain(up: Up) -> None:
    """A run of `table_maintenance`, as its schedule would ask for. How it ended Dagster knows."""
    with (up.directory / "maintenance.log").open("ab") as log:
        command = [sys.executable, "-m", "music_lakehouse.cli.main", "run", "table_maintenance"]
        subprocess.run(command, cwd=up.directory, env=up.environment, stdout=log, stderr=subprocess.STDOUT, check=False)


def _drain(up: Up) -> float | None:
    """The seconds until gold has all that the topics hold, and no run is in progress."""
    began = time.monotonic()
    while time.monotonic() - began < DRAIN_SECONDS:
        try:
            if not on_the_way(up.lake, up.settings) and current_holder(up.lake.root) is None:
                return time.monotonic() - began
        except BROKER_ERRORS as error:
            say(str(error))
        time.sleep(2)
    return None


def _failing(up: Up) -> list[str]:
    """Checks and rules that stop what is downstream; those that warn of dirty data are to be expected."""
    with dg.DagsterInstance.from_config(str(up.home)) as instance:
        return [check for check in Looker(up.settings, instance).look().failing if check.endswith(STOPPING)]


def _differences(up: Up, messages: list[Message]) -> str:
    try:
        assert_lake_equals_oracle(up.lake.root, _taken(messages), up.settings.reference_root)
    except AssertionError as error:
        return str(error)
    return ""


def _taken(messages: list[Message]) -> Iterator[Message]:
    """The messages, each let go once it is taken: the oracle has what it makes of it."""
    while messages:
        yield messages.pop()


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def main() -> int:
    own, of_up = sys.argv[1:], []
    if "--" in own:
        own, of_up = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long, from the first run's success")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second")
    parser.add_argument("--dirty", type=float, default=0.02, help="share of messages with a fault")
    parser.add_argument("--every", type=float, default=60.0, help="seconds from fault to fault")
    parser.add_argument("--calm", type=float, default=0.25, help="share of the time, at its end, without faults")
    parser.add_argument("--seed", type=int, default=None, help="of the faults and the events; default: drawn, and said")
    parser.add_argument("--faults", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--directory", type=Path, default=None, help="where it works; default: a temporary one")
    parser.add_argument("--report", type=Path, default=REPOSITORY / "data" / "soak", help="where the report goes")
    given = parser.parse_args(own)
    given.up = of_up
    given.seed = int(time.time()) % 100_000 if given.seed is None else given.seed
    if DISK in given.faults and not may_mount():
        say(f"{DISK} is left out: here nobody may mount a file system")
        given.faults.remove(DISK)
    if DISK in given.faults:
        enter_namespace([sys.executable, "-m", "music_lakehouse_tests.soak", *sys.argv[1:]])
    root = given.directory or Path(tempfile.mkdtemp(prefix="music-lakehouse-soak-"))
    root.mkdir(parents=True, exist_ok=True)
    say(f"seed {given.seed}; {given.rate:g} events a second for {given.minutes:g} minutes; it works in {root}")
    with ended_by_ctrl_c(), ExitStack() as stack:
        disk = stack.enter_context(Disk(root / "lake").mounted()) if DISK in given.faults else None
        record = soak(given, root, disk)
        verdicts = judge(record)
        held = all(verdict.held is not False for verdict in verdicts)
        if not held and disk is not None:
            shutil.copytree(disk.place, root / "kept")
    for verdict in verdicts:
        how = {True: "held", False: "FAILED", None: "untold"}[verdict.held]
        say(f"{how:7} {verdict.name}: {verdict.told}")
    say(f"The report is {report.write(record, verdicts, given.report)}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
