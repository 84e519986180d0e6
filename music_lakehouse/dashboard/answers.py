"""Answers kept for as long as they hold: until one of the tables that they come from has another version."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import streamlit as st

from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table

Versions = tuple[TableState | None, ...]
"""Which tables there are, and at which versions."""


def versions_of(lake: LakePaths, tables: Iterable[Table]) -> Versions:
    """The tables' present versions; None for one that isn't there."""
    return tuple(lake.state(table) for table in tables)


def answer(question: Callable[..., Any], lake: LakePaths, versions: Versions, *arguments: Any) -> Any:
    """What the question says of the lake, asked once for these versions of the tables that it reads.

    An answer may be newer than the versions that it is kept under, but never older.
    """
    key = (lake.root, f"{question.__module__}.{question.__qualname__}", versions, arguments)
    return _kept(question, lake, arguments, repr(key))


@st.cache_data(max_entries=500, show_spinner=False)
def _kept(_question: Callable[..., Any], _lake: LakePaths, _arguments: tuple[Any, ...], key: str) -> Any:
    return _question(_lake, *_arguments)
