"""Turns VTK's and ITK's error output into something a program can see."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import vtk

__all__ = ["VtkError", "VtkErrorRecorder", "installRecorder"]

_recorder: VtkErrorRecorder | None = None


class VtkError(RuntimeError):
    """VTK, ITK or MRML wrote an error."""


class VtkErrorRecorder:
    """Records what VTK writes to its output window, and logs it under the name ``vtk``."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self._window = vtk.vtkStringOutputWindow()
        self._window.AddObserver(vtk.vtkCommand.ErrorEvent, self._makeObserver(self.errors, logging.ERROR))
        self._window.AddObserver(vtk.vtkCommand.WarningEvent, self._makeObserver(self.warnings, logging.WARNING))
        vtk.vtkOutputWindow.SetInstance(self._window)
        # VTK would print each message a second time.
        vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)

    @staticmethod
    def _makeObserver(messages: list[str], level: int):
        def observer(_caller, _event, text):
            messages.append(str(text).strip())
            logging.getLogger("vtk").log(level, str(text).strip())

        observer.CallDataType = vtk.VTK_STRING
        return observer

    def clear(self) -> None:
        """Forgets what was recorded."""
        self.errors.clear()
        self.warnings.clear()

    def check(self) -> None:
        """Raises VtkError with everything recorded since the last check, and forgets it."""
        if self.errors:
            message = "\n".join(self.errors)
            self.clear()
            raise VtkError(message)

    @contextlib.contextmanager
    def raising(self) -> Iterator[list[str]]:
        """Raises VtkError at the end if errors were written in between; yields the list they are put into."""
        before = len(self.errors)
        yield self.errors
        if len(self.errors) > before:
            message = "\n".join(self.errors[before:])
            del self.errors[before:]
            raise VtkError(message)


def installRecorder() -> VtkErrorRecorder:
    """Makes the one recorder of this process on first use and returns it."""
    global _recorder
    if _recorder is None:
        _recorder = VtkErrorRecorder()
    return _recorder
