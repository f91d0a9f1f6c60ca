"""The report, the results table and the provenance of one run, as files.

The report is one HTML file without scripts: pictures are embedded, and everything that came from outside is escaped.
It names no patient and no file unless asked to. That of a cine has a film beside it, to which it links.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..clinical_fields import FIELDS, ClinicalField
from ..errors import InputError
from ..findings import SIMULATED, Findings, Flag, Interval, Measurement
from ..images.cine.cine import Cine
from ..volume import Volume
from ..wording import interval_text, value_text
from .embedding import DPI, PAGE_INCHES, Picture, embedded
from .film_images import cine_images, frames_picture, pair_images
from .output import write_atomic

COLUMNS = ("quantity", "value", "unit", "lower", "upper", "method", "note")
SEVERITIES = {"error": "Error", "warning": "Warning", "info": "Note"}
NBSP = "\N{NO-BREAK SPACE}"
# Parts of the provenance that have a place of their own in the report.
_PLACED = ("inputs", "seconds", "clinical", "date", "system")
_ABBREVIATIONS = {"ct": "CT", "t0": "T0", "t1": "T1", "t2": "T2", "ich": "ICH", "sha256": "SHA-256"}


def write_report(
    folder: Path,
    findings: Findings,
    volume: Volume | Cine,
    provenance: Mapping[str, Any],
    clinical: Mapping[str, Any],
    bundle_card: str = "",
    title: str = "",
    *,
    case_label: str = "",
    wanted: Iterable[ClinicalField] = (),
    window: tuple[float, float] | None = None,
    show_names: bool = False,
    titles: Mapping[str, str] = MappingProxyType({}),
    others: Mapping[str, Cine] = MappingProxyType({}),
) -> Path:
    """Write report.html into an existing folder; for a cine also cine.mp4, or cine.gif (see cine_file.py).

    Args:
        volume: the image that the findings are of.
        provenance: JSON-able; "inputs" ({role: {"name", "sha256"}}), "seconds" ({stage: s}) and "date" have a place of
            their own, the rest is listed.
        clinical: the values used, by key, as checked or as {"value", "unit"}.
        bundle_card: the model card, shown as text.
        title: heading; the system's name when empty.
        case_label: a label for the case, e.g. a pseudonym; nothing from the image's header is ever shown.
        wanted: fields that the system can use; those without a value are listed as not given.
        window: (width, level) of the slices; None for 400, 40 in CT and for the image's own range otherwise.
        show_names: show the names of the input files.
        titles: of the images by role, where findings lie on several films; that of the first is "".
        others: the films beside the first by role.

    Raises:
        InputError: the file cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["words"] = _words
    sides = {"": volume, **others} if others and findings.other_roles else {}
    drawn = _draw(Path(folder), findings, volume, window, [(titles.get(k, k), k, one) for k, one in sides.items()])
    made_with = {key: part for key, part in provenance.items() if key not in _PLACED and part not in ({}, [], "", None)}
    html = environment.get_template("report.html").render(
        title=title or f"{_words(findings.system)} report",
        notice="Research and teaching, not for clinical use",
        case_label=case_label,
        image=_describe(volume),
        date=str(provenance.get("date", ""))[:10],
        simulated=findings.is_simulated,
        summary=findings.summary,
        flags=[_flag(flag) for flag in _worst_first(findings.flags)],
        pictures=drawn.pictures,
        film=drawn.film,
        undrawn=drawn.why_none,
        charts=chart_images(findings),
        groups=_groups(findings.measurements),
        clinical=[_clinical(key, value) for key, value in clinical.items() if value is not None],
        missing=[field.label for field in wanted if clinical.get(field.key) is None],
        unavailable=[row.label for row in findings.measurements if row.value is None],
        inputs=[{"role": _words(role), "name": "", **about} for role, about in provenance.get("inputs", {}).items()],
        show_names=show_names,
        seconds=_seconds(provenance.get("seconds", {})),
        provenance=made_with,
        card=bundle_card.strip(),
    )
    return write_atomic(Path(folder) / "report.html", html)


def first_picture(
    findings: Findings, volume: Volume | Cine, window: tuple[float, float] | None = None, dpi: int = DPI
) -> Picture | None:
    """What is enough to see whether the masks are right: three slices with the outlines of all masks, or frames of a
    cine; None where nothing of the cine may be shown."""
    from . import pictures

    findings = findings.on()

    if isinstance(volume, Cine):
        from .cine_view import CineView

        try:
            return frames_picture(findings, CineView.of(volume), dpi)
        except InputError:
            return None
    names = ", ".join(mask.name for mask in findings.masks if not mask.is_empty)
    outlined = f" with outlines of {names}" if names else ""
    return embedded(
        pictures.slice_pictures(volume, findings.masks, _shown_window(volume, window), width=PAGE_INCHES),
        f"Axial, coronal and sagittal slices{outlined}. Patient right is on the viewer's left.",
        wide=True,
        dpi=dpi,
    )


@dataclass(frozen=True)
class _Drawn:
    """What is seen of the image: pictures, the name of the film beside the report, or why there is none."""

    pictures: list[Picture]
    film: str = ""
    why_none: str = ""


def _draw(
    folder: Path,
    findings: Findings,
    volume: Volume | Cine,
    window: tuple[float, float] | None,
    sides: Sequence[tuple[str, str, Cine]] = (),
) -> _Drawn:
    """`sides` are title, role and film of all images, where findings lie on several."""
    if not isinstance(volume, Cine):
        return _Drawn([*slice_images(findings, volume, window), *heat_map_images(findings, volume, window)])
    from .cine_file import write_cine
    from .cine_view import CineView

    try:
        view = CineView.of(volume)
    except InputError:
        return _Drawn(
            [],
            why_none="No ultrasound image was found in the frames, or text could not be told from it: none is shown.",
        )
    made = pair_images(findings, sides, view) if sides else cine_images(findings, view)
    if len(volume) == 1:
        return _Drawn(made)
    own = findings.on()
    heat_map = next(iter(own.heat_maps), None)
    film = write_cine(folder, view, own.masks, heat_map, SIMULATED if findings.is_simulated else "")
    return _Drawn(made, film.name)


def slice_images(findings: Findings, volume: Volume, window: tuple[float, float] | None = None) -> list[Picture]:
    """Slices, 3D view and montage of the first mask that is not empty; slices alone where there is none."""
    from . import pictures

    window = _shown_window(volume, window)
    made = [first_picture(findings, volume, window)]
    main = next((mask for mask in findings.masks if not mask.is_empty), None)
    if main is not None:
        shown = [mask for mask in findings.masks if mask.visible]
        seen = ", ".join(mask.name for mask in shown if not mask.is_empty)
        made.append(embedded(pictures.surface_figure(shown), f"3D view of {seen} from anterior-left."))
        montage = pictures.montage(volume, main, window, width=PAGE_INCHES)
        made.append(embedded(montage, f"Twelve axial slices through {main.name}, superior first.", wide=True))
    return made


def _shown_window(volume: Volume, window: tuple[float, float] | None) -> tuple[float, float] | None:
    return (400.0, 40.0) if window is None and volume.modality == "CT" else window


def heat_map_images(findings: Findings, volume: Volume, window: tuple[float, float] | None = None) -> list[Picture]:
    """A row of slices for each heat map, with a color bar."""
    from .heat_maps import THRESHOLD, heat_map_picture

    window = _shown_window(volume, window)
    made = []
    for heat_map in findings.heat_maps:
        label = f" ({SIMULATED})" if findings.is_simulated and SIMULATED not in heat_map.name else ""
        caption = (
            f"{heat_map.name}{label} over axial slices, superior first: what drove the score, from 0 (nothing) to 1 "
            f"(most). Below {THRESHOLD:g} the image alone is shown."
        )
        shown = [mask for mask in findings.masks if mask.visible]
        figure = heat_map_picture(volume, heat_map, shown, window, width=PAGE_INCHES)
        made.append(embedded(figure, caption, wide=True))
    return made


def chart_images(findings: Findings) -> list[Picture]:
    """One picture for each chart of the findings."""
    from . import pictures
    from .charts import group_charts

    made = []
    for chart in group_charts(findings.curves):
        label = f" ({SIMULATED})" if any(curve.simulated for curve in chart) else ""
        alt = f"{chart[0].chart}{label}: " + "; ".join(curve.name for curve in chart)
        made.append(embedded(pictures.survival_picture(chart), alt))
    return made


def write_results_csv(path: Path, findings: Findings) -> Path:
    """The measurements with full precision, one row each, as RFC 4180 CSV in UTF-8; `quantity` is the label."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in findings.measurements:
        interval = row.interval or Interval(math.nan, math.nan)
        numbers = [_exact(part) for part in (row.value, interval.lower, interval.upper)]
        writer.writerow([row.label, numbers[0], row.unit, *numbers[1:], row.method, row.note])
    return write_atomic(path, text.getvalue())


def write_provenance(path: Path, provenance: Mapping[str, Any]) -> Path:
    """The provenance as indented JSON in UTF-8; numpy values and paths become plain ones."""
    text = json.dumps(_plain(provenance), indent=2, ensure_ascii=False, allow_nan=False)
    return write_atomic(path, text + "\n")


def _exact(value: float | str | None) -> str:
    """Shortest text that reads back to the same number; empty where there is none."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    return "" if math.isnan(value) else repr(float(value))


def _plain(item: Any) -> Any:
    if isinstance(item, Mapping):
        return {str(key): _plain(part) for key, part in item.items()}
    if isinstance(item, np.ndarray):
        return _plain(item.tolist())
    if isinstance(item, (list, tuple, set, frozenset)):
        return [_plain(part) for part in item]
    if isinstance(item, np.generic):
        return _plain(item.item())
    if isinstance(item, float):
        return item if math.isfinite(item) else None
    return item if item is None or isinstance(item, (bool, int, str)) else str(item)


def _words(name: Any) -> str:
    """An identifier as words: "load_networks" to "Load networks"."""
    if str(name) in _ABBREVIATIONS:
        return _ABBREVIATIONS[name]
    text = str(name).replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def _describe(volume: Volume | Cine) -> str:
    if isinstance(volume, Cine):
        rows, columns = volume.frame_shape
        size = " × ".join(f"{step:.3g}" for step in reversed(volume.pixel_mm or ()))
        pixels = f"pixels of {size} mm" if size else "pixels whose size is not known"
        frames = f"{len(volume)} frames over {volume.times_s[-1]:.1f} s" if len(volume) > 1 else "one frame"
        return f"Ultrasound cine, {frames}, {columns} × {rows} {pixels}."
    k, j, i = volume.array.shape
    spacing = " × ".join(f"{step:.3g}" for step in volume.grid.spacing)
    return f"{volume.modality} image, {i} × {j} × {k} voxels of {spacing} mm."


def _worst_first(flags: Sequence[Flag]) -> list[Flag]:
    order = list(SEVERITIES)
    return sorted(flags, key=lambda flag: order.index(flag.severity) if flag.severity in order else len(order))


def _flag(flag: Flag) -> dict[str, str]:
    style = flag.severity if flag.severity in SEVERITIES else "info"
    segment = "" if flag.segment.casefold() in flag.message.casefold() else flag.segment
    return {"style": style, "word": SEVERITIES[style], "message": flag.message, "segment": segment}


def _groups(measurements: Sequence[Measurement]) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in measurements:
        groups.setdefault(row.group, []).append(_row(row))
    return list(groups.items())


def _row(row: Measurement) -> dict[str, Any]:
    tags = [{"style": "sim", "word": SIMULATED}] if row.simulated or SIMULATED in row.note else []
    if "published" in row.note.lower() or "published" in row.label.lower():
        tags.append({"style": "pub", "word": "published"})
    # The label beside the row already says it.
    note = row.note.removeprefix(SIMULATED).lstrip("; ")
    return {
        "label": row.label,
        "value": value_text(row, space=NBSP),
        "interval": _with_unit(interval_text(row), row.unit),
        "method": row.method,
        "note": note,
        "tags": tags,
    }


def _with_unit(text: str, unit: str) -> str:
    return f"{text}{NBSP}{unit}" if text and unit else text


def _clinical(key: str, value: Any) -> tuple[str, str]:
    known = FIELDS.get(key)
    unit = known.unit if known else ""
    if isinstance(value, Mapping):
        unit, value = str(value.get("unit", unit)), value.get("value")
    if isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return (known.label if known else _words(key)), _with_unit(text, unit)


def _seconds(seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    rows = [(stage, f"{time:.2f}") for stage, time in seconds.items()]
    return [*rows, ("total", f"{sum(seconds.values()):.2f}")] if rows else []
