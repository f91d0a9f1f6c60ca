"""What went wrong while a panel ran: recorded when it happens, raised when the test asks."""

from __future__ import annotations

import contextlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["HostError", "Records", "records"]


class HostError(AssertionError):
    """A panel did something that is silent in Slicer but wrong, or a handler raised."""


@dataclass
class Records:
    """The errors of this process's panels, as texts with their tracebacks."""

    errors: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Records an error."""
        self.errors.append(text)

    def addException(self, exception: BaseException, where: str) -> None:
        """Records an exception that Qt or VTK would only print."""
        self.errors.append(f"{where}: {''.join(traceback.format_exception(exception)).strip()}")

    def take(self) -> list[str]:
        """Returns the errors and forgets them."""
        errors, self.errors[:] = list(self.errors), []
        return errors

    def guard(self, handler: Callable, where: str) -> Callable:
        """The handler with its exceptions recorded instead of printed."""

        def guarded(*args):
            try:
                return handler(*args)
            except Exception as exception:
                self.addException(exception, where)
                return None

        return guarded

    @contextlib.contextmanager
    def expecting(self, pattern: str) -> Iterator[None]:
        """Removes the errors of the block that match a regular expression.

        :raises HostError: if none does.
        """
        before = len(self.errors)
        yield
        new = self.errors[before:]
        kept = [error for error in new if not re.search(pattern, error)]
        self.errors[before:] = kept
        if len(kept) == len(new):
            raise HostError(f"No error matched {pattern!r}; there were {new or 'none'}.")


records = Records()


def installHooks() -> None:
    """Records exceptions that Qt's and VTK's callbacks hand to Python's exception hooks."""

    def onException(type_, exception, trace) -> None:
        records.addException(exception, "exception in a callback")
        sys.__excepthook__(type_, exception, trace)

    def onUnraisable(unraisable) -> None:
        if unraisable.exc_value is not None:
            records.addException(unraisable.exc_value, f"exception in {unraisable.object!r}")

    sys.excepthook = onException
    sys.unraisablehook = onUnraisable
