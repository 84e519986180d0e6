"""Views of tables without personal data, as their declarations mark it: for SQL in DuckDB and in Spark.

A view is no boundary for whoever may read the files below it: that is for the storage's permissions. It keeps personal
data off screens and out of what is made from it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pydantic import SecretStr

    from music_lakehouse.lakehouse.tables import Column, Table


class Dialect(NamedTuple):
    """How a kind of SQL quotes names, escapes the text of a literal, and hashes a text with SHA-256 to hexadecimal."""

    quote: str
    escapes: Mapping[str, str]
    sha256: str


DUCKDB = Dialect('"', {"'": "''"}, "sha256({})")
SPARK = Dialect("`", {"\\": "\\\\", "'": "\\'"}, "sha2({}, 256)")


@dataclass(frozen=True)
class Masking:
    """Which tables have masked views, by their full names, and the key that their pseudonyms are hashed with: of one
    key a person has one hash in all tables, so that they can be joined and counted; without it nobody can try numbers
    until a hash fits."""

    tables: Mapping[str, Table]
    key: str = field(repr=False)

    @classmethod
    def of(cls, tables: Mapping[str, Table], key: SecretStr | None) -> Masking:
        """With that key; without one with another each time."""
        return cls(tables, secrets.token_hex(32) if key is None else key.get_secret_value())

    def select(self, name: str, there: Iterable[str], dialect: Dialect) -> str:
        """What to select of the table's rows, which have the columns `there`: personal data as null, pseudonyms as
        hashes, and nothing that isn't declared."""
        present = set(there)
        return ", ".join(self._masked(c, dialect) for c in self.tables[name].columns if c.name in present)

    def _masked(self, column: Column, dialect: Dialect) -> str:
        name = dialect.quote + column.name.replace(dialect.quote, dialect.quote * 2) + dialect.quote
        if column.pii:
            return f"CAST(NULL AS {column.type}) AS {name}"
        if column.pseudonym:
            key = "".join(dialect.escapes.get(character, character) for character in self.key)
            hashed = dialect.sha256.format(f"'{key}|' || CAST({name} AS STRING)")
            return f"{hashed} AS {name}"
        return name
