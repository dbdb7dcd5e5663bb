"""What the console script calls: a Ctrl-C while the libraries are still imported ends quietly too."""

import sys


def main() -> None:
    """The command `valign`."""
    try:
        from flows.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
