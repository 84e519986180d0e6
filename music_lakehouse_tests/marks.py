"""Which files `-m` leaves out as a whole."""

from __future__ import annotations

import re


def leaves_out(expression: str, source: str) -> bool:
    """Whether no test of the file can be among those that the expression of marks wants, as one of the file's own marks
    is unwanted. Only what is `not …` in a conjunction is judged."""
    if re.search(r"\bor\b|[()]", expression):
        return False
    unwanted = set(re.findall(r"\bnot (\w+)", expression))
    of_file = re.search(r"^pytestmark = (\[[^\]]*\]|.*)", source, re.MULTILINE)
    return of_file is not None and not unwanted.isdisjoint(re.findall(r"pytest\.mark\.(\w+)", of_file[1]))
