"""Checks of preference data: what goes wrong in alignment goes wrong in the data first.

`shared.lint.run.lint` reads the splits once, as a stream, and returns a `LintReport`; `shared.lint.registry` says how a
domain adds checks of its own.
"""
