"""When each target unit of a sentence was written: the delays that every latency metric is made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import le

from domains.translation.units import Unit

LONGEST = 1e15  # milliseconds or units; what lies beyond is no time


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays of one sentence.

    Attributes:
        delays: d_i, source read when target unit i was written [H]: source units of a text, milliseconds of speech;
            non-decreasing. It may lie beyond the source's length.
        source_length: X, in the same measure as the delays.
        reference_length: Y, target units of the reference.
        prediction_length: H, target units of the prediction. There is one delay for each: that they are stated apart
            finds delays of sub-words beside a prediction of words.
        elapsed: milliseconds until each target unit was written [H], non-decreasing. Of speech: on the clock of the
            source, as SimulEval logs it (source time and computation). Of a text, whose source has no clock:
            computation only. None where no times were taken.

    Raises:
        ValueError: the numbers cannot be such delays; the message says which.
    """

    delays: tuple[float, ...]
    source_length: float
    reference_length: int
    prediction_length: int
    elapsed: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.delays) != self.prediction_length:
            raise ValueError(f"{len(self.delays)} delays for a prediction of {self.prediction_length} units")
        _check_times(self.delays, "delay")
        if self.elapsed is not None:
            if len(self.elapsed) != len(self.delays):
                raise ValueError(f"{len(self.elapsed)} elapsed times for {len(self.delays)} delays")
            _check_times(self.elapsed, "elapsed time")
        if not 0 <= self.source_length <= LONGEST:
            raise ValueError("a source length that is negative, too large or no number")
        if self.reference_length < 0:
            raise ValueError(f"a reference length of {self.reference_length}")
        if self.delays and (self.source_length == 0 or self.reference_length == 0):
            raise ValueError("a prediction although source or reference is empty")

    def computation_aware(self, source_ms_per_unit: float | None = None) -> "Delays | None":
        """The same sentence in milliseconds with the time of computing added; None where no times were taken.

        As SimulEval counts it: the source's time plus all time of computing so far, as if the two never overlapped.

        Args:
            source_ms_per_unit: of a text: milliseconds in which one unit of the source comes in. None: the elapsed
                times are on the source's clock already (speech).

        Raises:
            ValueError: `source_ms_per_unit` is not above 0.
        """
        if source_ms_per_unit is not None and not (math.isfinite(source_ms_per_unit) and source_ms_per_unit > 0):
            raise ValueError(f"a source unit cannot take {source_ms_per_unit} ms")
        if self.elapsed is None:
            return None
        if source_ms_per_unit is None:
            return Delays(self.elapsed, self.source_length, self.reference_length, self.prediction_length, self.elapsed)
        times = tuple(read * source_ms_per_unit + spent for read, spent in zip(self.delays, self.elapsed, strict=True))
        length = self.source_length * source_ms_per_unit
        return Delays(times, length, self.reference_length, self.prediction_length, times)


def _check_times(times: Sequence[float], name: str) -> None:
    # Logs hold millions of times: this finds whether anything is wrong, NaN among it, and the loop says what.
    if not times or (times[0] >= 0 and times[-1] <= LONGEST and all(map(le, times, times[1:]))):
        return
    before = 0.0
    for number, time in enumerate(times, 1):
        if not before <= time <= LONGEST:
            if not 0 <= time <= LONGEST:
                raise ValueError(f"{name} {number} is negative, too large or no number")
            raise ValueError(f"{name}s that go back ({before:g}, then {time:g} at unit {number})")
        before = time


def reference_units(text: str, unit: Unit) -> int:
    """Y as SimulEval counts it: parts between single spaces (two spaces in a row count as a word), or characters,
    spaces inside the text among them.
    """
    return len(text.split(" ")) if unit == "word" else len(text.strip())


def prediction_units(text: str, unit: Unit) -> int:
    """H as SimulEval counts it: words, ``</s>`` among them, or characters without spaces."""
    return len(text.split()) if unit == "word" else len(text.replace(" ", ""))
