"""Word alignment of sentences: which target units translate which source units."""

from domains.translation.alignment.align import Links, Method, Symmetrisation, align

__all__ = ["Links", "Method", "Symmetrisation", "align"]
