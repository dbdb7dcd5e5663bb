"""Errors a user can mend: one sentence saying what is wrong, where, and what to do; and the exit code it ends with.

Exit codes of every `valign` command:

==== ==========================================================================================
0    done (for `run`: the pipeline finished; whether the gate promoted is in the result)
1    a fault of valign itself (please report it, with the traceback that is shown)
2    the command was used wrongly: unknown option, domain, recipe, recipe key or model
3    the data cannot be used: missing file, wrong columns, broken row, failed check
4    the environment is in the way: no space, no server, locked database, missing package
5    a stage failed: the training child died, a loss diverged
10   `--require-promotion` was given and the gate did not promote
130  interrupted (Ctrl-C or SIGTERM); everything finished so far is kept
141  whoever read standard output went away (a closed pipe)
==== ==========================================================================================
"""


class ValignError(Exception):
    """Base of all errors that are shown to the user as one sentence, without a traceback.

    Args:
        message: what is wrong, where, and what to do, in one or two sentences.
    """

    exit_code = 1


class UsageError(ValignError):
    """The command, recipe or model name is wrong."""

    exit_code = 2


class DataError(ValignError):
    """The data given cannot be used as it is."""

    exit_code = 3


class SystemStateError(ValignError):
    """Disk, server, database, device or package is missing or not usable."""

    exit_code = 4


class StageError(ValignError):
    """A stage failed for a reason that is neither data nor environment.

    Args:
        message: what is wrong, where, and what to do.
        transient: the child was killed from outside (memory, pre-emption): trying again may succeed.
    """

    exit_code = 5

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient
