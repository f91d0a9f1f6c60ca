"""Plays a cine in the panel, in step with the browser of its sequence: whoever moves either one moves both."""

from __future__ import annotations

from typing import Any

import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from .. import scene

# Places of the label's time, in seconds.
TIME_DIGITS = 2


class Player(VTKObservationMixin):
    """Buttons, scrubber and label of one film; hidden where there is nothing to play.

    The frame shown is the browser's selected item, so slice views, segments, heat map and the Sequences module follow.

    Args:
        container: shown while there is a film, such as a section of the panel.
        playWidget: qMRMLSequenceBrowserPlayWidget.
        seekWidget: qMRMLSequenceBrowserSeekWidget.
        label: QLabel for frame number and time.
    """

    def __init__(self, container: Any, playWidget: Any, seekWidget: Any, label: Any) -> None:
        VTKObservationMixin.__init__(self)
        self._container, self._play, self._seek, self._label = container, playWidget, seekWidget, label
        self._browser: Any = None
        self.setVolume(None)

    @property
    def browser(self) -> Any:
        """The browser that is played; None where there is no film."""
        return self._browser

    def setVolume(self, volumeNode: Any) -> None:
        """Takes the film that a volume node shows, or none. A film that was playing is paused when another comes."""
        film = scene.filmOf(volumeNode)
        browser = film.browser if film is not None and film.count > 1 else None
        if browser is not self._browser:
            self._setBrowser(browser)
        self._container.visible = browser is not None

    def close(self) -> None:
        """Pauses and forgets the film; for a panel or a scene that goes away."""
        self.setVolume(None)

    def _setBrowser(self, browser: Any) -> None:
        if self._browser is not None:
            self._browser.SetPlaybackActive(False)
        self.removeObservers(self._showFrame)
        self._browser = browser
        for widget in (self._play, self._seek):
            widget.setMRMLSequenceBrowserNode(browser)
        if browser is not None:
            self.addObserver(browser, vtk.vtkCommand.ModifiedEvent, self._showFrame)
        self._showFrame()

    def _showFrame(self, caller: Any = None, event: Any = None) -> None:
        browser = self._browser
        sequence = browser.GetMasterSequenceNode() if browser is not None else None
        number = browser.GetSelectedItemNumber() if browser is not None else -1
        if sequence is None or not 0 <= number < sequence.GetNumberOfDataNodes():
            self._label.text = ""
            return
        text = _("Frame {number} of {count}").format(number=number + 1, count=sequence.GetNumberOfDataNodes())
        time = _time(sequence, number)
        self._label.text = f"{text}, {time}" if time else text


def _time(sequence: Any, number: int) -> str:
    """When a frame is, in the sequence's own unit; empty where its index is no time."""
    if sequence.GetIndexName() != "time":
        return ""
    try:
        return f"{float(sequence.GetNthIndexValue(number)):.{TIME_DIGITS}f} {sequence.GetIndexUnit() or ''}".rstrip()
    except ValueError:
        return ""
