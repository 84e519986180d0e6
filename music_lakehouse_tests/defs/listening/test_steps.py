from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from music_lakehouse.defs.listening.gold_tables import GOLD
from music_lakehouse.defs.listening.silver_tables import SILVER
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse_tests.defs.listening.histories import batches_of, deliver, dirty_history, run_steps
from music_lakehouse_tests.oracle.compare import assert_lake_equals_oracle

pytestmark = pytest.mark.spark

KEPT = [table.full_name for table in (*SILVER, *GOLD)]
FULL_SEEDS = [pytest.param(seed, marks=[] if seed < 2 else pytest.mark.slow) for seed in range(20)]


@pytest.fixture(scope="session")
def reference_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("reference")
    write_reference(directory)
    return directory


@pytest.mark.parametrize("seed", FULL_SEEDS)
def test_a_history_in_any_order_and_any_batches_gives_what_the_oracle_says(
    lake: Lake, reference_root: Path, seed: int
) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    messages = dirty_history(seed)
    for batch in batches_of(messages, (2, 8, 1, 12)[seed % 4], rng):
        deliver(lake, batch)
        run_steps(lake, reference_root)
    assert_lake_equals_oracle(lake.root, messages, reference_root, ["bronze.quarantine", *KEPT])
