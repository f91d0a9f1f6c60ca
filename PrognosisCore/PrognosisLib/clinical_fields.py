"""The registry of clinical values: their names, units, ranges and what is said about them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# molar masses: bilirubin 584.66 g/mol, creatinine 113.12 g/mol; 1 mg/dL is 10 000 / molar mass umol/L
BILIRUBIN_UMOL_PER_MG_DL = 10_000 / 584.66
CREATININE_UMOL_PER_MG_DL = 10_000 / 113.12
GLUCOSE_MG_DL_PER_MMOL = 18.016  # molar mass 180.16 g/mol
# urea 60.06 g/mol, of which nitrogen is 28.01 g; lactate as lactic acid 90.08 g/mol
UREA_MMOL_PER_MG_DL, BUN_MMOL_PER_MG_DL, LACTATE_MMOL_PER_MG_DL = 10 / 60.06, 10 / 28.01, 10 / 90.08
MMHG_PER_KPA = 7.50062
_CELLS = {"G/L": 1.0, "10^3/uL": 1.0, "K/uL": 1.0, "/uL": 0.001, "/mm^3": 0.001}


@dataclass(frozen=True)
class ClinicalField:
    """One clinical value.

    Args:
        key: its name in files, e.g. "bilirubin".
        label: what the user reads.
        unit: the unit that a plain number is in; "" where there is none.
        low, high: what is accepted, ends included, in that unit.
        kind: "number", "whole", "yes/no" or "choice".
        choices: the texts allowed for a choice.
        tip: what it is, in one sentence.
        units: other units accepted when written, with the factor that turns them into `unit`.
        sure: range in which a plain number cannot be mistaken for another unit; outside it the unit must be written.
    """

    key: str
    label: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    kind: str = "number"
    choices: tuple[str, ...] = ()
    tip: str = ""
    units: Mapping[str, float] = field(default_factory=dict)
    sure: tuple[float, float] | None = None

    def factor(self, unit: str) -> float | None:
        """What turns `unit` into the field's own; None for a unit that is not known here."""
        known = {_plain(self.unit): 1.0} | {_plain(name): value for name, value in self.units.items()}
        return known.get(_plain(unit))


def _plain(unit: str) -> str:
    """For comparison: upper or lower case, powers as 10^9, 10⁹ or 109, and both signs for micro alike."""
    return unit.translate(str.maketrans("µμ²³⁴⁹", "uu2349", " ^")).lower()


_ALL_FIELDS = (
    ClinicalField("age", "Age", "years", 0, 120, tip="Age at the examination."),
    ClinicalField("sex", "Sex", kind="choice", choices=("female", "male"), tip="Sex of the patient."),
    ClinicalField(
        "bilirubin",
        "Total bilirubin",
        "umol/L",
        1,
        1000,
        tip="Total serum bilirubin; 1 mg/dL is 17.1 umol/L.",
        units={"mg/dL": BILIRUBIN_UMOL_PER_MG_DL, "mmol/L": 1000.0},
        sure=(5, 1000),
    ),
    ClinicalField("albumin", "Albumin", "g/L", 10, 70, tip="Serum albumin.", units={"g/dL": 10.0, "mg/dL": 0.01}),
    ClinicalField("inr", "INR", "", 0.5, 15, tip="International normalized ratio of the prothrombin time."),
    ClinicalField(
        "creatinine",
        "Creatinine",
        "umol/L",
        15,
        2000,
        tip="Serum creatinine; 1 mg/dL is 88.4 umol/L.",
        units={"mg/dL": CREATININE_UMOL_PER_MG_DL, "mmol/L": 1000.0},
        sure=(20, 2000),
    ),
    ClinicalField("sodium", "Sodium", "mmol/L", 100, 180, tip="Serum sodium.", units={"mEq/L": 1.0}),
    ClinicalField(
        "platelets",
        "Platelets",
        "10^9/L",
        5,
        1500,
        tip="Platelet count.",
        units={**_CELLS, "10^4/uL": 10.0},
    ),
    ClinicalField("afp", "Alpha-fetoprotein", "ng/mL", 0.1, 1e7, tip="Serum AFP.", units={"ug/L": 1.0, "mg/L": 1000.0}),
    ClinicalField(
        "ascites",
        "Ascites",
        kind="choice",
        choices=("none", "slight", "moderate"),
        tip="As Child-Pugh grades it; moderate stands for severe too.",
    ),
    ClinicalField(
        "encephalopathy", "Encephalopathy", "", 0, 4, "whole", tip="Hepatic encephalopathy, grade 0 (none) to 4."
    ),
    ClinicalField(
        "dialysis",
        "Dialysis",
        kind="yes/no",
        tip="Dialysis at least twice in the past week (MELD); not given means no.",
    ),
    ClinicalField(
        "renal_replacement",
        "Renal replacement therapy",
        kind="yes/no",
        tip="Now, of any kind (CLIF-C); not given means no, unless there was dialysis.",
    ),
    ClinicalField(
        "wbc", "White blood cells", "10^9/L", 0.1, 500, tip="Leukocyte count.", units=_CELLS, sure=(0.1, 200)
    ),
    ClinicalField(
        "neutrophils",
        "Neutrophils",
        "10^9/L",
        0.05,
        400,
        tip="Absolute neutrophil count, not a percentage.",
        units=_CELLS,
        sure=(0.2, 40),
    ),
    ClinicalField(
        "urea",
        "Urea",
        "mmol/L",
        0.3,
        100,
        tip="Serum urea; 1 mg/dL of urea is 0.167 mmol/L, 1 mg/dL of urea nitrogen (BUN) 0.357 mmol/L.",
        units={"mg/dL urea": UREA_MMOL_PER_MG_DL, "mg/dL BUN": BUN_MMOL_PER_MG_DL},
        sure=(0.3, 30),
    ),
    ClinicalField(
        "lactate",
        "Lactate",
        "mmol/L",
        0.1,
        40,
        tip="Blood lactate; 1 mg/dL is 0.111 mmol/L.",
        units={"mg/dL": LACTATE_MMOL_PER_MG_DL},
        sure=(0.1, 15),
    ),
    ClinicalField(
        "mean_arterial_pressure",
        "Mean arterial pressure",
        "mmHg",
        20,
        200,
        tip="Not needed where vasopressors are given.",
        units={"kPa": MMHG_PER_KPA},
    ),
    ClinicalField(
        "vasopressors", "Vasopressors", kind="yes/no", tip="Given to keep the blood pressure; not given means no."
    ),
    ClinicalField(
        "pao2_fio2",
        "PaO2/FiO2",
        "mmHg",
        20,
        800,
        tip="Arterial oxygen pressure over the inspired fraction, 0.21 in room air.",
        units={"kPa": MMHG_PER_KPA},
        sure=(100, 800),
    ),
    ClinicalField(
        "spo2_fio2",
        "SpO2/FiO2",
        "",
        40,
        477,
        tip="Oxygen saturation in % over the inspired fraction: 98 % in room air is 467. For want of PaO2/FiO2.",
    ),
    ClinicalField(
        "tumor_size",
        "Largest tumor",
        "cm",
        0.3,
        30,
        tip="Largest diameter of the largest tumor.",
        units={"mm": 0.1},
        sure=(0.3, 20),
    ),
    ClinicalField("tumor_number", "Number of tumors", "", 1, 200, "whole", tip="Tumors in the liver."),
    ClinicalField(
        "ast_before_tace", "AST before first TACE", "U/L", 3, 20000, tip="For the ART score.", units={"IU/L": 1.0}
    ),
    ClinicalField(
        "ast_after_tace", "AST after first TACE", "U/L", 3, 20000, tip="Before the second TACE.", units={"IU/L": 1.0}
    ),
    ClinicalField(
        "child_pugh_before_tace", "Child-Pugh before first TACE", "points", 5, 15, "whole", tip="For the ART score."
    ),
    ClinicalField(
        "child_pugh_after_tace", "Child-Pugh after first TACE", "points", 5, 15, "whole", tip="Before the second TACE."
    ),
    ClinicalField(
        "radiological_response",
        "Radiological response to first TACE",
        kind="yes/no",
        tip="Whether the tumor responded, for the ART score.",
    ),
    ClinicalField(
        "gcs", "Glasgow Coma Scale", "points", 3, 15, "whole", tip="On admission; 3 is the deepest coma, 15 is awake."
    ),
    ClinicalField("nihss", "NIHSS", "points", 0, 42, "whole", tip="NIH Stroke Scale on admission; 0 is no deficit."),
    ClinicalField(
        "onset_to_ct",
        "Onset to CT",
        "h",
        0,
        720,
        tip="Time from the first symptom, or from when the patient was last seen well, to this CT.",
        units={"min": 1 / 60},
        sure=(0, 24),
    ),
    ClinicalField(
        "anticoagulant",
        "Anticoagulant",
        kind="choice",
        choices=("none", "warfarin", "other"),
        tip="Taken at onset; the NAG scale counts any, the BRAIN score only warfarin.",
    ),
    ClinicalField("antiplatelet", "Antiplatelet drug", kind="yes/no", tip="Taken at onset, such as aspirin."),
    ClinicalField(
        "glucose",
        "Glucose",
        "mg/dL",
        10,
        1500,
        tip="Plasma glucose on admission; 1 mmol/L is 18 mg/dL.",
        units={"mmol/L": GLUCOSE_MG_DL_PER_MMOL},
        sure=(45, 1500),
    ),
    ClinicalField("systolic_pressure", "Systolic blood pressure", "mmHg", 40, 300, tip="On admission."),
    ClinicalField(
        "prior_ich", "Earlier intracerebral hemorrhage", kind="yes/no", tip="Whether this hemorrhage is a recurrence."
    ),
    ClinicalField("hypertension", "Hypertension", kind="yes/no", tip="Known before this hemorrhage."),
    ClinicalField("diabetes", "Diabetes", kind="yes/no", tip="Known diabetes mellitus."),
    ClinicalField(
        "infratentorial",
        "Infratentorial origin",
        kind="yes/no",
        tip="Origin below the tentorium; if not given it is estimated from the image.",
    ),
    ClinicalField("bmi", "Body mass index", "kg/m²", 10, 100, tip="Weight divided by the square of height."),
    ClinicalField("ast", "AST", "U/L", 3, 20000, tip="Aspartate aminotransferase.", units={"IU/L": 1.0}),
    ClinicalField(
        "ast_upper_limit",
        "Upper limit of AST",
        "U/L",
        10,
        100,
        tip="Upper limit of normal of the laboratory, for APRI; not given means 40 U/L.",
        units={"IU/L": 1.0},
    ),
    ClinicalField("alt", "ALT", "U/L", 3, 20000, tip="Alanine aminotransferase.", units={"IU/L": 1.0}),
    ClinicalField(
        "impaired_fasting_glucose",
        "Impaired fasting glucose",
        kind="yes/no",
        tip="Counts as diabetes does in the NAFLD fibrosis score; not given means no.",
    ),
    ClinicalField(
        "mre_kpa",
        "Measured MRE stiffness",
        "kPa",
        0.5,
        20,
        tip="Liver stiffness by MR elastography at 60 Hz (shear modulus), if it was measured.",
    ),
    ClinicalField(
        "swe_kpa",
        "Measured SWE stiffness",
        "kPa",
        1,
        150,
        tip="Liver stiffness by ultrasound shear-wave elastography (Young's modulus), if it was measured.",
    ),
)
FIELDS: dict[str, ClinicalField] = {one.key: one for one in _ALL_FIELDS}


def fields_of(keys: Iterable[str]) -> tuple[ClinicalField, ...]:
    """The fields with these keys, each once, in the order of the registry."""
    wanted = set(keys)
    return tuple(one for one in _ALL_FIELDS if one.key in wanted)
