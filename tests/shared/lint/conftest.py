"""The benchmarks' synthetic pairs serve the tests too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3]))
