"""The systems: what the command line, the batch and the panels must know of each, in one table.

Plain data: naming a system here imports nothing of it. A module of another extension adds itself with `register`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .clinical_fields import ClinicalField, fields_of
from .errors import InputError
from .scores import (
    ACLF_SCORES,
    FIBROSIS_SCORES,
    HEMORRHAGE_SCORES,
    LIVER_SCORES,
    SIGNIFICANT_FIBROSIS_SCORES,
    TACE_SCORES,
    Score,
)

if TYPE_CHECKING:
    from .bundles.bundle import Bundle

EXTENSION_FOLDER = Path(__file__).resolve().parents[2]
BRAIN_WINDOW = (80.0, 40.0)
# A package names its libraries under this group, so that the command line finds their systems.
ENTRY_POINTS = "prognosis.systems"


@dataclass(frozen=True)
class Role:
    """One input image of a system: its name in Case.volumes and on the command line (`--ct`), and its modality.

    Where no role of a system is `required`, one of them must be given, whichever it is. `window` (width, level) is how
    the image is shown, in its unit; None for soft tissue in CT, else its own range. A `film` role takes a cine, or a
    still as a cine of one frame, and Case.volumes has a Cine for it. `segment` is that which a run draws on this image,
    where it is another one than the first (see Mask.role).
    """

    name: str
    title: str
    modality: str
    required: bool = True
    window: tuple[float, float] | None = None
    film: bool = False
    segment: str = ""


@dataclass(frozen=True)
class System:
    """One published system.

    Args:
        name: on the command line ("spleen").
        module: the scripted module ("SpleenVolume"); its library is `<module>Lib`.
        pipeline: class of the library's pipeline.py.
        roles: input images; the first one that is given carries segmentation and results.
        segments: segment names that the system measures.
        clinical: keys of the clinical values that it uses (see clinical_fields.py).
        scores: its clinical scores; the panel shows those that need nothing from the image while values are entered.
        optional_settings: settings that may be None, which is "none" on the command line, beside those that are so by
            default.
    """

    name: str
    module: str
    pipeline: str
    roles: tuple[Role, ...]
    segments: tuple[str, ...]
    clinical: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    optional_settings: tuple[str, ...] = ()

    @property
    def clinical_fields(self) -> tuple[ClinicalField, ...]:
        return fields_of(self.clinical)

    @property
    def pipeline_path(self) -> str:
        return f"{self.module}Lib.pipeline:{self.pipeline}"

    def primary_of(self, names: Collection[str]) -> Role:
        """The role whose image carries segmentation and results: of those named, the first in the system's order.

        A required one is never passed over: it is told also where it is not named, and so is the first of all where
        nothing is.
        """
        return next((role for role in self.roles if role.required or role.name in names), self.roles[0])

    def check_roles(self, names: Collection[str]) -> None:
        """Raises InputError where a required image is not named, or none at all."""
        for role in self.roles:
            if (role.required or len(self.roles) == 1) and role.name not in names:
                raise InputError(f"The {role.title} is missing; choose a volume for it.")
        if not any(role.name in names for role in self.roles):
            *some, last = (f"a {role.title}" for role in self.roles)
            raise InputError(f"Choose {', '.join(some)} or {last} volume; one of them is needed.")

    def complete_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings given over the system's defaults. Raises InputError where one is not known."""
        defaults = self.library("pipeline").default_settings()
        unknown = sorted(set(settings) - set(defaults))
        if unknown:
            raise InputError(f"The setting '{unknown[0]}' is not known; the settings are: {', '.join(defaults)}.")
        return {**defaults, **settings}

    def library(self, submodule: str) -> Any:
        """A submodule of the system's library, imported on demand."""
        return import_module(f"{self.module}Lib.{submodule}")

    def default_bundle(self) -> Path:
        """The bundle that ships with the module; Slicer installs all modules together, hence the module's name."""
        folder = Path(import_module(f"{self.module}Lib").__file__).resolve().parents[1]
        return folder / "Resources" / "Bundle" / self.module

    def make_pipeline(self, bundle: Path | None = None) -> Any:
        return getattr(self.library("pipeline"), self.pipeline)(Path(bundle or self.default_bundle()))

    def load_bundle(self, bundle: Path | None = None) -> Bundle:
        """A bundle, the shipped one by default, verified by the pipeline, which alone knows what must be in it.

        Raises:
            BundleError: one sentence that says what is wrong; see `Bundle.load`.
        """
        return self.make_pipeline(bundle).bundle


TACE_VALUES = (
    *("age", "sex", "bilirubin", "albumin", "inr", "creatinine", "sodium", "dialysis", "platelets", "ascites"),
    *("encephalopathy", "afp", "tumor_size", "tumor_number", "ast_before_tace", "ast_after_tace"),
    *("child_pugh_before_tace", "child_pugh_after_tace", "radiological_response"),
)

HEMORRHAGE_VALUES = (
    *("age", "sex", "gcs", "nihss", "onset_to_ct", "anticoagulant", "antiplatelet", "glucose", "systolic_pressure"),
    *("inr", "prior_ich", "hypertension", "diabetes", "infratentorial"),
)

STIFFNESS_VALUES = (
    *("age", "sex", "bmi", "ast", "ast_upper_limit", "alt", "platelets", "albumin", "diabetes"),
    *("impaired_fasting_glucose", "mre_kpa", "swe_kpa"),
)

ACLF_VALUES = (
    *("age", "sex", "bilirubin", "albumin", "inr", "creatinine", "sodium", "platelets", "ascites", "encephalopathy"),
    *("dialysis", "renal_replacement", "wbc", "neutrophils", "urea", "lactate", "mean_arterial_pressure"),
    *("vasopressors", "pao2_fio2", "spo2_fio2"),
)

FIBROSIS_VALUES = ("age", "sex", "bmi", "ast", "ast_upper_limit", "alt", "platelets", "swe_kpa")

SYSTEMS: dict[str, System] = {
    "spleen": System(
        name="spleen",
        module="SpleenVolume",
        pipeline="SpleenPipeline",
        roles=(Role("ct", "CT", "CT"),),
        segments=("Spleen", "Liver"),
        clinical=TACE_VALUES,
        scores=LIVER_SCORES + TACE_SCORES,
    ),
    "ich": System(
        name="ich",
        module="ICHExpansion",
        pipeline="ICHPipeline",
        roles=(
            Role("ct", "CT", "CT", window=BRAIN_WINDOW),
            Role("followup", "Follow-up CT", "CT", required=False, window=BRAIN_WINDOW),
        ),
        segments=(
            *("Hematoma", "Intraventricular hemorrhage", "Perihematomal edema"),
            *("Hematoma at follow-up", "Hematoma growth"),
        ),
        clinical=HEMORRHAGE_VALUES,
        scores=HEMORRHAGE_SCORES,
        optional_settings=("expansion_ml", "expansion_percent"),
    ),
    "stiffness": System(
        name="stiffness",
        module="LiverStiffness",
        pipeline="StiffnessPipeline",
        roles=(
            Role("t2", "T2-weighted MRI", "MR", required=False),
            Role("t1", "T1-weighted MRI", "MR", required=False),
        ),
        segments=("Liver", "Spleen", "Ascites", "Liver on T1"),
        clinical=STIFFNESS_VALUES,
        scores=FIBROSIS_SCORES,
    ),
    "fibrosis": System(
        name="fibrosis",
        module="FibrosisVideo",
        pipeline="FibrosisPipeline",
        roles=(Role("cine", "Ultrasound cine", "US", film=True),),
        segments=("Liver",),
        clinical=FIBROSIS_VALUES,
        scores=SIGNIFICANT_FIBROSIS_SCORES,
    ),
    "hepato": System(
        name="hepato",
        module="HepatoPrognosis",
        pipeline="HepatoPipeline",
        roles=(
            Role("t0", "Ultrasound at T0", "US", film=True),
            Role("t1", "Ultrasound at T1 (day 5)", "US", required=False, film=True, segment="Liver at T1"),
        ),
        segments=("Liver", "Liver at T1"),
        clinical=ACLF_VALUES,
        scores=LIVER_SCORES + ACLF_SCORES,
    ),
}


def register(system: System) -> System:
    """Adds the system of another extension to SYSTEMS; called by its library's `__init__.py`.

    Raises:
        InputError: another module has the same system name.
    """
    known = SYSTEMS.get(system.name, system)
    if known.module != system.module:
        raise InputError(f"{known.module} and {system.module} are both named '{system.name}'; rename or remove one.")
    SYSTEMS[system.name] = system
    return system


def import_installed() -> list[str]:
    """Imports the libraries that installed packages name as entry points, which registers their systems.

    Returns:
        a sentence for each one that cannot be imported; the others are there all the same.
    """
    problems = []
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except Exception as error:
            problems.append(f"The installed system '{entry.name}' cannot be imported ({error}); mend or uninstall it.")
    return problems


def series_option(system: System, role: Role) -> str:
    """The command line's option for the series of a role: `--series` for the first, `--ROLE-series` for others."""
    return "--series" if role == system.roles[0] else f"--{role.name}-series"


def find_system(name: str) -> System:
    if name not in SYSTEMS:
        raise InputError(f"The system '{name}' is not known; choose one of: {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]
