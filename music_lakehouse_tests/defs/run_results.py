"""What a run in process says of its tables and checks."""

from __future__ import annotations

from typing import Any

import dagster as dg


def figures(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """What each materialization of the run says of itself, by table."""
    events = result.get_asset_materialization_events()
    materializations = [event.step_materialization_data.materialization for event in events]
    return {m.asset_key.to_user_string(): {k: v.value for k, v in m.metadata.items()} for m in materializations}


def outcomes(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """The checks that were evaluated, by table and check."""
    return {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}
