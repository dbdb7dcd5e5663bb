"""Latency of simultaneous translation: delays, the metrics made of them, and the logs that hold them."""

from domains.translation.latency.delays import Delays
from domains.translation.latency.logs import LoggedSentence, read_log, write_log
from domains.translation.latency.summary import LatencySummary, SentenceLatency, sentence_latency, summarise

__all__ = [
    "Delays",
    "LatencySummary",
    "LoggedSentence",
    "SentenceLatency",
    "read_log",
    "sentence_latency",
    "summarise",
    "write_log",
]
