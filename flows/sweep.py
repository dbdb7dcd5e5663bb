"""Sweeps: one run for every combination of values of some recipe keys.

What the keys do not change is computed once, because every stage looks into the store first: a sweep over beta or the
learning rate has one data stage, one reward model and one pass of the reference.
"""

from collections.abc import Sequence
from itertools import product

from shared.errors import UsageError

MOST_RUNS = 64


def combinations(sweeps: Sequence[str]) -> list[list[str]]:
    """Overrides of every run.

    Args:
        sweeps: ``key=value,value,...`` as given; commas inside brackets, braces or quotes belong to a value.

    Returns:
        For every run its ``key=value`` overrides, the last key varying fastest.

    Raises:
        UsageError: no ``=``, fewer than two values, a value or key twice, or too many runs.
    """
    axes: dict[str, list[str]] = {}
    for given in sweeps:
        key, equals, values = given.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"--sweep {given}: write it as key=value,value, such as align.beta=0.05,0.1,0.3.")
        if key in axes:
            raise UsageError(f"--sweep {key} is given twice: put all its values into one.")
        axes[key] = _split(values)
        if len(axes[key]) < 2 or not all(axes[key]):
            raise UsageError(f"--sweep {given}: name at least two values, separated by commas; for one, use --set.")
        if len(set(axes[key])) < len(axes[key]):
            raise UsageError(f"--sweep {given}: a value stands there twice.")
    runs = [[f"{key}={value}" for key, value in zip(axes, values, strict=True)] for values in product(*axes.values())]
    if len(runs) > MOST_RUNS:
        raise UsageError(f"--sweep: {len(runs)} runs are more than {MOST_RUNS}; sweep fewer keys or values at once.")
    return runs


def _split(values: str) -> list[str]:
    """Values between commas that stand outside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in values:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in ")}]":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += character
    return [part.strip() for part in parts]
