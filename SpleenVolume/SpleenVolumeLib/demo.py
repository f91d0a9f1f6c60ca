"""The demo case: one simulated patient before TACE, with a spleen of 640 mL and a cirrhotic liver. Needs no pandas."""

from __future__ import annotations

from typing import Any

from PrognosisLib.simulation.anatomy import AbdomenParameters
from PrognosisLib.simulation.ct import simulate_abdomen
from PrognosisLib.volume import Volume

SEED = 20220832
PATIENT = AbdomenParameters(
    spleen_mL=640.0,
    liver_mL=1380.0,
    cirrhosis=0.6,
    portal_hypertension=0.6,
    ascites_mL=150.0,
    slice_spacing_mm=5.0,
    slice_thickness_mm=5.0,
)
SPACING_MM = (2.0, 2.0, 5.0)
CLINICAL: dict[str, Any] = {
    "age": 66,
    "sex": "male",
    "bilirubin": 24.0,
    "albumin": 34.0,
    "inr": 1.21,
    "creatinine": 82.0,
    "sodium": 137.0,
    "platelets": 104.0,
    "afp": 48.0,
    "ascites": "slight",
    "encephalopathy": 0,
    "tumor_size": 4.6,
    "tumor_number": 2,
}


def demo_case(max_size: int | None = None) -> tuple[dict[str, Volume], dict[str, Any]]:
    """({"ct": Volume}, clinical values); `max_size` bounds the voxels along any axis, for a quick one."""
    image = simulate_abdomen(PATIENT, SEED, spacing=SPACING_MM, max_size=max_size)
    return {"ct": Volume(image.hu, image.ijk_to_ras, "CT", "Simulated patient before TACE")}, dict(CLINICAL)
