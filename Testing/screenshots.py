"""`make screenshots`: the pictures of the README and the docs, from simulated data only, with the bundle that ships.

Panels are drawn by the host on PySide6, so their style differs from Slicer's; the data and the panel's code do not.
"""

from __future__ import annotations

import argparse
import base64
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("PrognosisCore", "SpleenVolume", "Testing")]

import host  # noqa: E402

WIDTH = 430
PAGE_WIDTH = 760


def main(folder: Path, max_size: int | None, bundle: Path | None) -> None:
    """Drives SpleenVolume's panel from the demo case to the report and writes a picture of each state."""
    folder.mkdir(parents=True, exist_ok=True)
    panel = host.makeWidget("SpleenVolume")
    ui = panel.ui
    if bundle is not None:
        panel.parameterNode.bundle = str(bundle)
    from PrognosisLib import runs
    from PrognosisLib.worker import shared_worker

    panel.runControl.start(
        lambda: runs.startDemo(panel.logic, {"max_size": max_size}), panel._onDemoDone, "Making the simulated patient"
    )
    wait(panel)
    ui.cutoffCheckBox.click()
    picture(panel, folder / "panel-ready.png")
    ui.patientSection.collapsed = ui.settingsSection.collapsed = False
    picture(panel, folder / "panel-values.png")
    ui.patientSection.collapsed = ui.settingsSection.collapsed = True
    ui.applyButton.click()
    host.pump(120, until=lambda: ui.progressBar.value >= 10)
    picture(panel, folder / "panel-running.png")
    wait(panel)
    picture(panel, folder / "panel-results.png")
    result = panel.results.current()
    spleen_picture(result, folder / "spleen-volume.png")
    ui.resultsSection.collapsed = ui.inputsSection.collapsed = True
    ui.aboutSection.collapsed = False
    picture(panel, folder / "panel-about.png")
    host.answer(str(folder))
    ui.reportButton.click()
    wait(panel)
    report = folder / "report.html"
    page_picture(report.read_text(encoding="utf-8"), folder / "report.png")
    report.unlink()
    host.dialogs()
    host.close(panel)
    host.checkNoErrors()
    shared_worker().close()


def wait(panel, seconds: float = 1800.0) -> None:
    host.pump(seconds, until=lambda: not panel.runControl.isBusy)
    errors = [dialog.text for dialog in host.dialogs() if dialog.kind == "critical"]
    if errors:
        sys.exit(errors[0])


def picture(panel, path: Path) -> None:
    """The panel without the empty rows above and below it."""
    import numpy as np
    from PIL import Image

    host.screenshot(panel, path, WIDTH)
    image = Image.open(path).convert("RGB")
    array = np.asarray(image).astype(int)
    filled = np.flatnonzero((np.abs(array - array[0, 0]).sum(axis=2) > 12).any(axis=1))
    top, bottom = max(0, filled[0] - 12), min(image.height, filled[-1] + 12)
    image.crop((0, top, image.width, bottom)).quantize(128).save(path, optimize=True)
    print(path)


def spleen_picture(result, path: Path) -> None:
    """Slices with outlines, the surface, and the survival curves, one below the other."""
    import io

    from PIL import Image

    from PrognosisLib.reporting.report import chart_images, slice_images

    volume = result.case.volumes["ct"]
    parts = [*slice_images(result.findings, volume)[:2], *chart_images(result.findings)]
    images = [Image.open(io.BytesIO(part.png)).convert("RGB") for part in parts]
    slices, *below = images
    width = 1200
    scaled = slices.resize((width, round(slices.height * width / slices.width)))
    height = 430
    below = [image.resize((round(image.width * height / image.height), height)) for image in below]
    sheet = Image.new("RGB", (width, scaled.height + height), "white")
    sheet.paste(scaled, (0, 0))
    left = (width - sum(image.width for image in below)) // 2
    for image in below:
        sheet.paste(image, (max(0, left), scaled.height))
        left += image.width
    sheet.quantize(256).save(path, optimize=True)
    print(path)


def page_picture(html: str, path: Path) -> None:
    """The top of the report as Qt's rich text shows it; a browser shows it with its full style."""
    from PySide6 import QtCore, QtGui, QtWidgets

    class Browser(QtWidgets.QTextBrowser):
        def loadResource(self, kind, name):
            text = name.toString()
            if not text.startswith("data:image/png;base64,"):
                return QtCore.QByteArray()
            image = QtGui.QImage()
            image.loadFromData(base64.b64decode(text.partition(",")[2]))
            return image.scaledToWidth(PAGE_WIDTH - 60, QtCore.Qt.TransformationMode.SmoothTransformation)

    browser = Browser()
    browser.setHtml(html)
    browser.resize(PAGE_WIDTH, 1000)
    browser.show()
    host.pump(0.2)
    browser.grab().save(str(path))
    print(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--max-size", type=int, help="bounds the demo's voxels along any axis, for a quick trial")
    parser.add_argument("--bundle", type=Path, help="another bundle than the one that ships")
    arguments = parser.parse_args()
    host.start()
    main(arguments.output, arguments.max_size, arguments.bundle)
