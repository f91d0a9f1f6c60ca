"""Points of a nomogram as rich text: a bar for each predictor, and the total with what it means."""

from __future__ import annotations

import html
from collections.abc import Sequence

from slicer.i18n import tr as _

from ..findings import SIMULATED, Measurement

BAR_CHARACTERS = 10  # of 100 points
FILLED = "\N{FULL BLOCK}"
TOTAL = "points_total"


def nomogramText(rows: Sequence[Measurement]) -> str:
    """A table of the rows' labels, bars and points; below it their total with its note. Empty without rows."""
    if not rows:
        return ""
    lines = []
    for row in rows:
        points = float(row.value)
        label, note = html.escape(row.label), html.escape(row.note.removeprefix(f"{SIMULATED}; "))
        if row.key == TOTAL:
            lines.append(f'<tr><td colspan="3"><b>{label}: {points:.0f} points</b>, {note}</td></tr>')
            continue
        bar = FILLED * max(0, round(points * BAR_CHARACTERS / 100))
        lines.append(f'<tr><td>{label}</td><td align="right">&nbsp;{points:.0f}&nbsp;</td><td>{bar}</td></tr>')
    group = html.escape(rows[0].group)
    label = f", {SIMULATED}" if any(row.simulated for row in rows) else ""
    title = _("{group}, in points{label}").format(group=group, label=label)
    return f'<p>{title}</p><table width="100%">{"".join(lines)}</table>'
