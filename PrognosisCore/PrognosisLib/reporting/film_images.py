"""Pictures of films for the report: contact sheets, and several films beside each other; only the sector is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import InputError
from ..findings import SIMULATED, Findings
from ..images.cine.cine import Cine
from .embedding import DPI, PAGE_INCHES, Picture, embedded

if TYPE_CHECKING:
    from .cine_view import CineView


def cine_images(findings: Findings, view: CineView) -> list[Picture]:
    """A contact sheet of a few frames with outlines, and one with each heat map."""
    from .contact_sheets import contact_sheet
    from .heat_maps import THRESHOLD

    findings = findings.on()
    made = [frames_picture(findings, view)]
    for heat_map in findings.heat_maps:
        label = f" ({SIMULATED})" if findings.is_simulated and SIMULATED not in heat_map.name else ""
        caption = (
            f"{heat_map.name}{label} over the same frames: what drove the score, from 0 (nothing) to 1 (most). Below "
            f"{THRESHOLD:g} the frame alone is shown."
        )
        sheet = contact_sheet(view, findings.masks, heat_map, width=PAGE_INCHES)
        made.append(embedded(sheet, caption, wide=True))
    return made


def frames_picture(findings: Findings, view: CineView, dpi: int = DPI) -> Picture:
    from .contact_sheets import contact_sheet

    names = ", ".join(mask.name for mask in findings.masks if mask.visible and not mask.is_empty)
    outlined = f" with outlines of {names}" if names else ""
    sheet = contact_sheet(view, findings.masks, width=PAGE_INCHES)
    return embedded(sheet, f"Frames of the cine in the order of time{outlined}.", wide=True, dpi=dpi)


def pair_images(findings: Findings, sides: Sequence[tuple[str, str, Cine]], view: CineView) -> list[Picture]:
    """Films beside each other with outlines, the same with their heat maps, and each further heat map of the first.

    A film of which nothing may be shown is left out.

    Args:
        sides: title, role and film of each, the first one's role being "".
        view: of the first.
    """
    from .contact_sheets import Side, side_by_side

    parts = {role: findings.on(role) for _title, role, _cine in sides}
    views = {role: _view_of(cine) if role else view for _title, role, cine in sides}
    shown = [(title, role) for title, role, _cine in sides if views[role] is not None]
    plain = [Side(title, views[role], parts[role].masks) for title, role in shown]
    names = " and ".join(side.title for side in plain)
    made = [embedded(side_by_side(plain, PAGE_INCHES), f"{names}, with outlines.", wide=True)]
    firsts = [next(iter(parts[role].heat_maps), None) for _title, role in shown]
    hot = [replace(side, heat_map=heat) for side, heat in zip(plain, firsts, strict=True)]
    if any(heat is not None for heat in firsts):
        label = f" ({SIMULATED})" if findings.is_simulated else ""
        made.append(embedded(side_by_side(hot, PAGE_INCHES), f"{names}, with what drove the score{label}.", wide=True))
    rest = replace(parts[""], heat_maps=parts[""].heat_maps[1:])
    return made + cine_images(rest, view)[1:]


def _view_of(cine: Cine) -> CineView | None:
    from .cine_view import CineView

    try:
        return CineView.of(cine)
    except InputError:
        return None
