"""What a stiffness means: the published classes of MRE and SWE, and rows of values that were measured elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..findings import Measurement
from .base import check_range

GROUP = "Measured stiffness"
MRE_SOURCE = "classes of the Mayo Clinic (Venkatesh and Ehman, Magn Reson Imaging Clin N Am 2014;22:433)"
# Upper ends; a value on one belongs to the class above it, but 5 kPa to the class below, as published ("> 5.0").
MRE_CLASSES = (
    (2.5, "normal"),
    (2.9, "normal or inflammation"),
    (3.5, "fibrosis stage 1-2"),
    (4.0, "fibrosis stage 2-3"),
    (5.0, "fibrosis stage 3-4"),
)
MRE_HIGHEST = "fibrosis stage 4 or cirrhosis"
SWE_F2_KPA, SWE_F3_KPA = 8.4, 9.1
SWE_SOURCE = "point SWE in 46 patients with NAFLD, Ultrasonography (e-ultrasonography.org, article 1523)"
NOT_INTERCHANGEABLE = "MRE and ultrasound kPa are not interchangeable"
ADULT_YEARS = 18


def mre_stage(kpa: float) -> str:
    """Class of a liver stiffness by MR elastography at 60 Hz, kPa (Mayo Clinic and Resoundant).

    Under 2.5 normal; under 2.9 normal or inflammation; under 3.5 stage 1-2; under 4 stage 2-3; up to 5 stage 3-4;
    above stage 4 or cirrhosis. Raises InputError outside 0.5 to 20 kPa.
    """
    value = round(check_range("MRE stiffness", kpa, 0.5, 20, "kPa"), 6)
    if value == MRE_CLASSES[-1][0]:
        return MRE_CLASSES[-1][1]
    return next((words for upper, words in MRE_CLASSES if value < upper), MRE_HIGHEST)


def swe_stage(kpa: float, f2_kpa: float = SWE_F2_KPA, f3_kpa: float = SWE_F3_KPA) -> str:
    """Class of a liver stiffness by ultrasound shear-wave elastography, kPa; a value on a cut-off is at it.

    The cut-offs depend on the device. Raises InputError outside 1 to 150 kPa and where F3 is not above F2.
    """
    value = round(check_range("SWE stiffness", kpa, 1, 150, "kPa"), 6)
    check_swe_cutoffs(f2_kpa, f3_kpa)
    return "below F2" if value < f2_kpa else "F2" if value < f3_kpa else "F3 or higher"


def check_swe_cutoffs(f2_kpa: float, f3_kpa: float) -> None:
    """Raises InputError where the cut-offs of a device are not in order."""
    if not 0 < f2_kpa < f3_kpa:
        raise InputError("The SWE cut-off for F3 must be above that for F2; correct the settings.")


def child_note(age_years: float | None) -> str:
    """What is added to the note of a class under 18 years; empty for adults and where the age is not known."""
    return "; the classes were set in adults" if age_years is not None and age_years < ADULT_YEARS else ""


def measured_rows(
    clinical: Mapping[str, Any], swe_f2_kpa: float = SWE_F2_KPA, swe_f3_kpa: float = SWE_F3_KPA
) -> tuple[Measurement, ...]:
    """A row for each stiffness that was measured elsewhere, with its class in the note; none where none is given.

    Args:
        clinical: checked clinical values (clinical.check_clinical), of which mre_kpa, swe_kpa and age count.

    Raises:
        InputError: the SWE cut-offs are not in order.
    """
    rows = []
    mre, swe, child = clinical.get("mre_kpa"), clinical.get("swe_kpa"), child_note(clinical.get("age"))
    if mre is not None:
        note = f"{mre_stage(mre)}{child}; {NOT_INTERCHANGEABLE}"
        rows.append(
            Measurement(
                "measured_mre", "MRE, measured", mre, "kPa", method=f"entered; {MRE_SOURCE}", note=note, group=GROUP
            )
        )
    if swe is not None:
        usual = (swe_f2_kpa, swe_f3_kpa) == (SWE_F2_KPA, SWE_F3_KPA)
        source = SWE_SOURCE if usual else "chosen by the user"
        cutoffs = f"cut-offs F2 {swe_f2_kpa:g} and F3 {swe_f3_kpa:g} kPa: {source}"
        note = f"{swe_stage(swe, swe_f2_kpa, swe_f3_kpa)}{child}; cut-offs depend on the device; {NOT_INTERCHANGEABLE}"
        rows.append(
            Measurement(
                "measured_swe", "SWE, measured", swe, "kPa", method=f"entered; {cutoffs}", note=note, group=GROUP
            )
        )
    return tuple(rows)
