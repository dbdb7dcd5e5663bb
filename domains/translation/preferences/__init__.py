"""The five preferences of SimulPL as measured quantities: quality, monotonicity, key points, simplicity, latency.

SimulPL names them (arXiv:2502.00634) and asks a language model for translations that have them; how they are measured
here is ours. `definitions.MEASURES` says what every number is.
"""

from domains.translation.preferences.definitions import MEASURES, Measure
from domains.translation.preferences.measure import measure, usual_text
from domains.translation.preferences.weights import PREFERENCES, Weights

__all__ = ["MEASURES", "PREFERENCES", "Measure", "Weights", "measure", "usual_text"]
