"""What the commands print: results on stdout, progress and errors on stderr, readable without a terminal too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Without a terminal nothing is as narrow as the 80 columns that Rich assumes: logs fold lines themselves.
_WIDTH_WITHOUT_TERMINAL = 200


def console(*, stderr: bool = False) -> Console:
    """A console on the present stdout or stderr."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
    return made


def say(text: str, *, style: str = "") -> None:
    """A line of the command's result."""
    console().print(Text(text, style=style), soft_wrap=True)


def note(text: str, *, style: str = "dim") -> None:
    """A line beside the result: progress, hints, errors."""
    console(stderr=True).print(Text(text, style=style), soft_wrap=True)


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", right: Iterable[str] = ()
) -> None:
    """A table of the command's result. The columns named in `right` are aligned there; other cells that are numbers
    or times are written as text by `cell`."""
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    numeric = set(right)
    for name in columns:
        table.add_column(Text(name), justify="right" if name in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else Text(cell(value)) for value in row))
    console().print(table)


def cell(value: object) -> str:
    """A value as text: times in UTC to the millisecond, whole numbers with thousands separated, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def instant(value: datetime) -> str:
    """A time as `2024-01-15 12:00:00.123`; milliseconds only where there are some."""
    text = value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{value.microsecond // 1000:03d}" if value.microsecond else text


def size(number: float) -> str:
    """A number of bytes, as `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def pipeline_name(name: str | None) -> str | None:
    """A pipeline as it is called here, also where it is typed as commands are: `heart-rate`."""
    return None if name is None else name.replace("-", "_")
