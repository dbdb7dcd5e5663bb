"""Simultaneous decoding: read rules, a cache that is kept while the source grows, batches and single sessions.

`rules` and `settings` are what recipes name and import no torch; `decode.decode` translates a batch, `session.Session`
one sentence unit by unit. Both write the same, since they advance the same `hypothesis.Hypothesis`.
"""

from domains.translation.decoder.rules import LatencyPrompt, Lsg, Offline, ReadRule, Threshold, WaitK, parse_rule
from domains.translation.decoder.settings import DecodingConfig

__all__ = [
    "DecodingConfig",
    "LatencyPrompt",
    "Lsg",
    "Offline",
    "ReadRule",
    "Threshold",
    "WaitK",
    "parse_rule",
]
