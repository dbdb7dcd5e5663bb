"""Benchmarks are no installed package: tests import them from the root of the clone."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
