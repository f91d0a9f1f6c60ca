"""Errors that a user can mend: each message is one sentence that says what is wrong and how to put it right."""

from __future__ import annotations


class InputError(ValueError):
    """The input is unfit; the message says why and what to do. The command line ends with exit code 2."""


class Cancelled(RuntimeError):
    """The user cancelled the run. Nothing was written."""


class WorkerError(RuntimeError):
    """The worker process failed or was killed; the message names the cause. The scene is as it was."""


class MissingPackage(WorkerError):
    """A Python package that the computation needs is missing or broken, so that no run can succeed on this machine."""


class BundleError(InputError):
    """A model bundle is damaged, tampered with or of the wrong kind; nothing in it was executed."""
