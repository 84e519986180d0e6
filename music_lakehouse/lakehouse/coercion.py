"""Text as typed values, as SQL: null where the text is none of the type. Nothing is rounded but to doubles."""

from __future__ import annotations

_BLANKS = "[ \t\n\x0b\f\r]*"
# Of the exponents that fit, none is longer; Java would take its time over huge ones.
_DIGITS = "[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)"
_NUMERAL = f"^{_BLANKS}{_DIGITS}([eE][+-]?[0-9]{{1,2}})?{_BLANKS}$"
_ANY_NUMERAL = f"^{_BLANKS}{_DIGITS}([eE][+-]?[0-9]+)?{_BLANKS}$"
_EXACT = "DECIMAL(38,18)"
# How nearly all values are written: these are read at once.
_PLAIN = {
    "BIGINT": "^[+-]?[0-9]{1,18}$",
    "INT": "^[+-]?[0-9]{1,9}$",
    "DECIMAL(15,2)": "^[+-]?[0-9]{1,13}([.][0-9]{1,2})?$",
    "DATE": f"^{_BLANKS}[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{_BLANKS}$",
}


def coerced(column: str, type_name: str) -> str:
    """The text of a column as a value of the type, as an SQL expression.

    Blanks around numbers and dates don't count. Whole numbers may be written with a point or an exponent where they
    have no fraction, dates as YYYY-MM-DD only; a double is the one that is nearest to the number, and finite. Text is
    as it stands; the empty text is null. Raises ValueError for a type that isn't known here.
    """
    if type_name == "STRING":
        return f"nullif(`{column}`, '')"
    if type_name == "DOUBLE":
        double = f"try_cast(`{column}` AS DOUBLE)"
        return f"CASE WHEN `{column}` RLIKE '{_ANY_NUMERAL}' AND abs({double}) < double('Infinity') THEN {double} END"
    if type_name not in _PLAIN:
        raise ValueError(f"column {column} is {type_name}: how text becomes that is not said here")
    plain = f"WHEN `{column}` RLIKE '{_PLAIN[type_name]}' THEN try_cast(`{column}` AS {type_name})"
    if type_name == "DATE":
        return f"CASE {plain} END"
    # A cast passes over blanks by itself.
    number = f"CASE WHEN `{column}` RLIKE '{_NUMERAL}' THEN try_cast(`{column}` AS {_EXACT}) END"
    exact = f"round({number}, 2)" if type_name.startswith("DECIMAL") else f"floor({number})"
    return f"CASE {plain} WHEN {number} = {exact} THEN try_cast({number} AS {type_name}) END"
