"""`make screenshots`: the pictures of the README and the docs, from simulated data only, with the bundles that ship.

Panels are drawn by the host on PySide6, so their style differs from Slicer's; the data and the panel's code do not.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    *("PrognosisCore", "SpleenVolume", "ICHExpansion", "LiverStiffness", "FibrosisVideo", "HepatoPrognosis"),
    "Testing",
)
sys.path[:0] = [str(ROOT / folder) for folder in FOLDERS]

import host  # noqa: E402

WIDTH = 430
PAGE_WIDTH = 760


@dataclass(frozen=True)
class Tour:
    """The pictures of one panel.

    Args:
        module: its name.
        prefix: of the file names of the panel's pictures.
        report, overview: file names of the pictures of the report and of image, surface and curves.
        window: of the overview's slices, (width, level) in HU; None for the image's own range.
        prepare: what a person sets in the panel before Apply.
    """

    module: str
    prefix: str
    report: str
    overview: str
    window: tuple[float, float] | None
    prepare: Callable[[Any], None] = lambda ui: None


TOURS = (
    Tour("SpleenVolume", "panel", "report", "spleen-volume", (400, 40), lambda ui: ui.cutoffCheckBox.click()),
    Tour("ICHExpansion", "ich-panel", "ich-report", "ich-expansion", (80, 40)),
    Tour("LiverStiffness", "stiffness-panel", "stiffness-report", "liver-stiffness", None),
    Tour("FibrosisVideo", "fibrosis-panel", "fibrosis-report", "fibrosis-video", None),
    Tour("HepatoPrognosis", "hepato-panel", "hepato-report", "hepato-prognosis", None),
)


def main(tour: Tour, folder: Path, max_size: int | None, bundle: Path | None) -> None:
    """Drives a panel from the demo case to the report and writes a picture of each state."""
    folder.mkdir(parents=True, exist_ok=True)
    panel = host.makeWidget(tour.module)
    ui = panel.ui
    if bundle is not None:
        panel.parameterNode.bundle = str(bundle)
    from PrognosisLib import runs
    from PrognosisLib.worker import shared_worker

    def save(state: str) -> None:
        picture(panel, folder / f"{tour.prefix}-{state}.png")

    panel.runControl.start(
        lambda: runs.startDemo(panel.logic, {"max_size": max_size}), panel._onDemoDone, "Making the simulated patient"
    )
    wait(panel)
    tour.prepare(ui)
    save("ready")
    ui.patientSection.collapsed = ui.settingsSection.collapsed = False
    save("values")
    ui.patientSection.collapsed = ui.settingsSection.collapsed = True
    ui.applyButton.click()
    host.pump(120, until=lambda: ui.progressBar.value >= 10)
    save("running")
    wait(panel)
    save("results")
    overview(panel.results.current(), tour.window, folder / f"{tour.overview}.png")
    ui.resultsSection.collapsed = ui.inputsSection.collapsed = True
    ui.aboutSection.collapsed = False
    save("about")
    host.answer(str(folder))
    ui.reportButton.click()
    wait(panel)
    report = folder / "report.html"
    page_picture(report.read_text(encoding="utf-8"), folder / f"{tour.report}.png")
    report.unlink()
    for film in folder.glob("cine.*"):  # beside the report of a cine
        film.unlink()
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


def overview(result: Any, window: tuple[float, float] | None, path: Path) -> None:
    """Slices or frames with outlines and the heat maps, one below the other, then surface and curves side by side."""
    import io

    from PIL import Image

    from PrognosisLib.images.cine.cine import Cine
    from PrognosisLib.reporting.cine_view import CineView
    from PrognosisLib.reporting.film_images import cine_images, pair_images
    from PrognosisLib.reporting.report import chart_images, heat_map_images, slice_images
    from PrognosisLib.systems import SYSTEMS

    # The first image carries the segments.
    findings, volume = result.findings, next(iter(result.case.volumes.values()))
    volumes = result.case.volumes
    if isinstance(volume, Cine) and findings.other_roles:
        titles = {role.name: role.title for role in SYSTEMS[findings.system].roles}
        sides = [(titles[name], "" if one is volume else name, one) for name, one in volumes.items()]
        wide, surface = pair_images(findings, sides, CineView.of(volume)), []
    elif isinstance(volume, Cine):
        wide, surface = cine_images(findings, CineView.of(volume)), []
    else:
        slices, *surface = slice_images(findings, volume, window)[:2]
        wide = [slices, *heat_map_images(findings, volume, window)]
    narrow = [*surface, *chart_images(findings)]
    width, height = 1200, 430
    rows = [Image.open(io.BytesIO(part.png)).convert("RGB") for part in wide]
    rows = [image.resize((width, round(image.height * width / image.width))) for image in rows]
    below = [Image.open(io.BytesIO(part.png)).convert("RGB") for part in narrow]
    # As high as they can be with all of them side by side.
    height = min(height, int(width / sum(image.width / image.height for image in below))) if below else 0
    below = [image.resize((int(image.width * height / image.height), height)) for image in below]
    sheet = Image.new("RGB", (width, sum(image.height for image in rows) + height), "white")
    top = 0
    for image in rows:
        sheet.paste(image, (0, top))
        top += image.height
    left = (width - sum(image.width for image in below)) // 2
    for image in below:
        sheet.paste(image, (left, top))
        left += image.width
    # A palette would color the grays.
    sheet.save(path, optimize=True)
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
    parser.add_argument("--bundle", type=Path, help="another bundle than the one that ships, of the module")
    parser.add_argument("--module", choices=[tour.module for tour in TOURS], help="this panel only")
    arguments = parser.parse_args()
    host.start()
    for tour in TOURS:
        if arguments.module in (None, tour.module):
            main(tour, arguments.output, arguments.max_size, arguments.bundle)
