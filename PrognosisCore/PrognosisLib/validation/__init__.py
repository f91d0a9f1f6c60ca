"""Validation of a system on a cohort: what is judged, the figures, and one report. Statistics are in `evaluation`.

A system declares its endpoints as a `Study` in `<Module>Lib/endpoints.py`; importing that needs nothing heavy.
"""

from .study import BINARY, CONTINUOUS, QUALITY, SURVIVAL, Endpoint, Published, RiskModel, Score, Study, Subgroup

__all__ = [
    "BINARY",
    "CONTINUOUS",
    "QUALITY",
    "SURVIVAL",
    "Endpoint",
    "Published",
    "RiskModel",
    "Score",
    "Study",
    "Subgroup",
]
