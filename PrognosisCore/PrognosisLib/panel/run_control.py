"""Apply and Cancel, the progress bar and the status line: one run at a time, polled by a timer, never waited for."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import Cancelled, InputError, WorkerError
from ..wording import duration_text

POLL_MS = 100
# Before this share is done, or in the first seconds, an estimate of the time left would be a guess.
KNOWN_FRACTION = 0.15
KNOWN_SECONDS = 2.0


class RunControl:
    """Polls a run until it ends; what the run raises is shown, and never reaches Qt's event loop.

    Args:
        ui: holds progressBar and statusLabel.
        onState: called when a run begins or ends.
        isQuiet: errors are shown in the status line only, never in a message box: for runs that nobody attends.
        knownFraction: from which share done on the time left is told.
    """

    def __init__(
        self, ui: Any, onState: Callable[[], None], isQuiet: bool = False, knownFraction: float = KNOWN_FRACTION
    ) -> None:
        self._ui, self._onState = ui, onState
        self._isQuiet, self._knownFraction = isQuiet, knownFraction
        self._run: Any = None
        self._onResult: Callable[[Any], None] = lambda result: None
        self._why: str | None = None
        self._isCancelling = False
        self._startedAt = 0.0
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)
        ui.progressBar.visible = False
        self.say("")

    @property
    def isBusy(self) -> bool:
        """From `start` until the result was handed over or the run has failed."""
        return self._run is not None

    @property
    def isCancelling(self) -> bool:
        """Cancel was pressed; the run has not stopped yet."""
        return self._isCancelling

    def start(self, begin: Callable[[], Any], onResult: Callable[[Any], None], stage: str) -> None:
        """Begins a run and polls it; does nothing while another is under way.

        Args:
            begin: starts the run and gives the object with pollProcess and cancelProcess; what it raises is shown.
            onResult: called once with the result.
            stage: what is shown until the run reports progress.
        """
        if self.isBusy:
            return
        self._why, self._isCancelling = None, False
        run = self.guarded(begin)
        if run is None:
            return
        self._run, self._onResult, self._startedAt = run, onResult, time.monotonic()
        self._ui.progressBar.value = 0
        self._ui.progressBar.visible = True
        self.say(stage)
        self._timer.start()
        self._onState()

    def cancel(self, why: str | None = None) -> None:
        """Asks the run to stop; a text says why where it was not the user's wish."""
        if self.isBusy and not self._isCancelling:
            self._isCancelling, self._why = True, why
            self.say(_("Canceling..."))
            self._run.cancelProcess()
            self._onState()

    def close(self) -> None:
        """Forgets the run and stops polling; for a panel that goes away."""
        self._timer.stop()
        if self._run is not None:
            self._run.cancelProcess()
            self._run = None

    def say(self, text: str) -> None:
        """Shows a text below the button; none hides the line."""
        self._ui.statusLabel.text = text
        self._ui.statusLabel.visible = bool(text)

    def showError(self, error: Exception) -> None:
        """Shows an error that the user can mend, in the panel and in a message box with its details."""
        self.say(str(error))
        if self._isQuiet:
            return
        slicer.util.errorDisplay(str(error), detailedText="\n".join(getattr(error, "__notes__", ())))

    def guarded(self, function: Callable[[], Any]) -> Any:
        """The function's result; what it raises is shown, and None is returned. Unexpected errors are raised too."""
        try:
            return function()
        except (InputError, WorkerError) as error:
            self.showError(error)
        except Exception as error:
            self.say(_("Failed: {error}").format(error=error))
            if self._isQuiet:
                raise
            with slicer.util.tryWithErrorDisplay(_("This should not have happened; please report it.")):
                raise
        return None

    def _poll(self) -> None:
        if self._run is None:
            return
        try:
            result = self._run.pollProcess(self._onProgress)
        except Cancelled:
            self._end(self._why if self._why is not None else _("Canceled; nothing was changed."))
        except Exception as error:
            self._end("")
            self.guarded(functools.partial(_raise, error))
        else:
            if result is not None:
                onResult = self._onResult
                self._end("")
                self.guarded(lambda: onResult(result))

    def _end(self, text: str) -> None:
        self._timer.stop()
        self._run = None
        self._isCancelling = False
        self._ui.progressBar.visible = False
        self.say(text)
        self._onState()

    def _onProgress(self, fraction: float, message: str) -> None:
        if self._isCancelling:
            return
        self._ui.progressBar.value = round(100 * fraction)
        elapsed = time.monotonic() - self._startedAt
        if fraction >= self._knownFraction and elapsed >= KNOWN_SECONDS:
            message = _("{stage}, about {time} left").format(
                stage=message, time=duration_text(elapsed * (1.0 - fraction) / fraction)
            )
        self.say(message)


def _raise(error: Exception) -> None:
    raise error
