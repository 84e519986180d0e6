"""The keyed steps of the listening tables: which keys changes touch, and what is read for them.

What a row then looks like is the pure functions' business, in `transforms`.
"""

from __future__ import annotations

from dataclasses import replace

from music_lakehouse.defs.listening.steps import dimensions, facts, summaries, users
from music_lakehouse.defs.listening.steps.messages import rows_of_messages
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table

STEPS: dict[Table, Step] = {
    step.table: replace(step, of_messages=rows_of_messages)
    for step in (*users.STEPS, *dimensions.STEPS, *facts.STEPS, *summaries.STEPS)
}
"""The step of each table, by table, in an order in which they may run."""
