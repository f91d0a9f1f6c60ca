"""The Batch section: runs a cohort in the background, shows how far it is, and reviews what it gave. Never a dialog
but those in which the user chooses a file or folder."""

from __future__ import annotations

import html
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from ..errors import InputError
from .dependencies import missingPackages
from .run_control import RunControl

if TYPE_CHECKING:
    from ..batch import BatchRun, BatchSummary
    from ..batch.desk import ReviewDesk

KNOWN_FRACTION = 0.02
PICTURE_MARGIN = 8


class BatchSection:
    """Starts, shows and reviews a batch; what is computed and written is the logic's.

    Args:
        panel: the SystemWidget, whose settings and model the batch takes.
    """

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        ui = panel.ui
        bar = SimpleNamespace(progressBar=ui.batchProgressBar, statusLabel=ui.batchStatusLabel)
        self.runControl = RunControl(bar, self._showState, isQuiet=True, knownFraction=KNOWN_FRACTION)
        self._run: BatchRun | None = None
        self._notices: list[str] = []
        self._desk: ReviewDesk | None = None
        ui.batchCohortEdit.connect("textChanged(QString)", lambda _text: self._showState())
        ui.batchOutputEdit.connect("textChanged(QString)", lambda _text: self._reopenDesk())
        ui.batchFileButton.connect("clicked()", self._onFile)
        ui.batchFolderButton.connect("clicked()", lambda: self._onFolder(ui.batchCohortEdit))
        ui.batchOutputButton.connect("clicked()", lambda: self._onFolder(ui.batchOutputEdit))
        ui.batchButton.connect("clicked()", self._onButton)
        ui.batchSection.connect("contentsCollapsed(bool)", lambda _collapsed: self._reopenDesk())
        ui.batchAcceptButton.connect("clicked()", lambda: self._decide("accepted"))
        ui.batchRejectButton.connect("clicked()", lambda: self._decide("rejected"))
        ui.batchPreviousButton.connect("clicked()", lambda: self._move(-1))
        ui.batchNextButton.connect("clicked()", lambda: self._move(1))
        ui.batchPageButton.connect("clicked()", self._onPage)
        self._showState()

    @property
    def isBusy(self) -> bool:
        return self.runControl.isBusy

    def cancel(self, why: str) -> None:
        """Stops the batch, if one is under way, and says why."""
        self.runControl.cancel(why)

    def close(self) -> None:
        """Ends everything; for a panel that goes away."""
        self.runControl.close()
        if self._run is not None:
            self._run.close()
            self._run = None
        self._closeDesk()

    # Running

    def _onFile(self) -> None:
        chosen = qt.QFileDialog.getOpenFileName(None, _("Cohort"), "", _("Tables (*.csv)"))
        if chosen:
            self._ui.batchCohortEdit.text = chosen

    def _onFolder(self, edit: Any) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(None, edit.toolTip)
        if chosen:
            edit.text = chosen

    def _onButton(self) -> None:
        """Starts the batch, or cancels the one under way."""
        if self.isBusy:
            self.runControl.cancel(_("Canceled. What had ended is kept; run the batch again to go on."))
            return
        self._notices = []
        self.runControl.start(self._begin, self._onDone, _("Looking for cases"))

    def _begin(self) -> BatchRun:
        ui, missing = self._ui, missingPackages()
        if missing:  # asking would be a dialog
            names = ", ".join(missing)
            raise InputError(_("Not installed: {names}. Press Apply once, which offers to.").format(names=names))
        self._run = self._panel.logic.startBatch(
            Path(ui.batchCohortEdit.text.strip()),
            Path(ui.batchOutputEdit.text.strip()),
            self._panel.settings(),
            full=ui.batchReportCheckBox.checked,
            retry=ui.batchRetryCheckBox.checked,
            onNotice=self._notices.append,
        )
        return self._run

    def _onDone(self, summary: BatchSummary) -> None:
        text = _("{counts} The table is {path}.").format(counts=summary.text, path=summary.folder / "results.csv")
        self.runControl.say(" ".join([*self._notices, text]))

    def _showState(self) -> None:
        """What can be done now. The batch in the output folder can be reviewed while none is under way."""
        ui, busy = self._ui, self.runControl.isBusy
        ready = bool(ui.batchCohortEdit.text.strip() and ui.batchOutputEdit.text.strip())
        ui.batchForm.enabled = not busy
        ui.batchButton.text = _("Cancel batch") if busy else _("Run batch")
        ui.batchButton.enabled = not self.runControl.isCancelling if busy else ready
        if busy:
            ui.batchButton.toolTip = _("Stop the batch. What has ended is kept; it can go on later.")
        elif ready:
            ui.batchButton.toolTip = _("Run every case that is not done yet, with the settings above.")
        else:
            ui.batchButton.toolTip = _("Choose a cohort and an output folder first.")
        if busy:
            self._closeDesk()
        elif self._desk is None:
            self._run = None
            self._openDesk()
        ui.batchReviewWidget.visible = self._desk is not None

    # Reviewing

    def _openDesk(self) -> None:
        """Takes the batch in the output folder for review, where there is one."""
        from ..batch.desk import ReviewDesk

        path = self._ui.batchOutputEdit.text.strip()
        if path and not self._ui.batchSection.collapsed:
            try:
                self._desk = ReviewDesk(self._panel.system, Path(path))
            except InputError:  # nothing to review is no error
                return
            self._showSheet()

    def _closeDesk(self) -> None:
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.close()

    def _reopenDesk(self) -> None:
        """Another folder, or the section was opened or closed."""
        self._closeDesk()
        self._showState()

    def _showSheet(self) -> None:
        ui, sheet = self._ui, self._desk.sheet()
        ui.batchCountsLabel.text = self._desk.counts_text()
        state = f" ({sheet.decision})" if sheet.decision else ""
        title = _("Case {number} of {count}: {name}").format(number=sheet.number, count=sheet.count, name=sheet.case)
        ui.batchCaseLabel.text = f"<b>{html.escape(title)}</b>{state}<br>{html.escape(sheet.text)}"
        ui.batchCommentEdit.text = sheet.comment
        ui.batchPreviousButton.enabled = sheet.number > 1
        ui.batchNextButton.enabled = sheet.number < sheet.count
        ui.batchPictureLabel.visible = sheet.picture is not None
        if sheet.picture is not None:
            width = max(200, ui.batchSection.width - 2 * PICTURE_MARGIN)
            picture = qt.QPixmap(str(sheet.picture))
            ui.batchPictureLabel.pixmap = picture.scaledToWidth(width, qt.Qt.SmoothTransformation)

    def _move(self, step: int) -> None:
        self._desk.move(step)
        self._showSheet()

    def _decide(self, decision: str) -> None:
        try:
            self._desk.decide(decision, self._ui.batchCommentEdit.text.strip())
        except InputError as error:
            self.runControl.say(str(error))
        self._showSheet()

    def _onPage(self) -> None:
        """Opens the page, with the decisions that were made here."""
        self._desk.leave()
        page = Path(self._ui.batchOutputEdit.text.strip()) / "review.html"
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page)))
