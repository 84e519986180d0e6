"""What goes wrong, as one line for the reader and an exit code for the shell."""

from __future__ import annotations

import re

import typer

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class CliError(RuntimeError):
    """The command can't do what was asked; the text is one line with the remedy."""


def exit_code(error: BaseException) -> int:
    """2 where the command was called wrongly, 1 where it failed."""
    return error.exit_code if isinstance(error, typer.TyperException) else FAILED


def one_line(error: BaseException) -> str:
    """The error for a reader. The package's own errors say what to do themselves."""
    if isinstance(error, typer.TyperException):
        return _usage(error)
    if type(error).__module__.startswith("music_lakehouse."):
        return _folded(str(error))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {_folded(str(error)) or 'no more is known'} (--debug shows the traceback)"


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    remedy = f" (`{context.command_path} --help` explains)" if context is not None else ""
    return _folded(error.format_message()) + remedy


def _folded(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text.strip())
