"""How numbers are written in reports and plots."""

import math

MISSING = "–"


def number(value: float | None, digits: int | None = None) -> str:
    """A number for reading: fixed decimals, thousands grouped, a real minus sign.

    Args:
        value: the number; None and NaN give a dash.
        digits: decimals; None: none for whole numbers of type int, else 3. A value that would round to zero
            is given in scientific notation.
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "\N{MINUS SIGN}∞"
    if isinstance(value, int) and digits is None:
        text = f"{value:,}"
    else:
        decimals = 3 if digits is None else digits
        if abs(value) >= 1000:
            text = f"{value:,.0f}"
        elif value and abs(value) < 0.5 * 10**-decimals:
            text = f"{value:.1e}"
        else:
            text = f"{value:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}") if text.startswith("-") or "e-" in text else text


def duration(seconds: float | None) -> str:
    """A duration for reading: ``0.4 s``, ``48 s``, ``3 min 12 s``, ``2 h 5 min``."""
    if seconds is None or math.isnan(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
