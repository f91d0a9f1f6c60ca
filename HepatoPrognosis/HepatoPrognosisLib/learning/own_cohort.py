"""A user's own pairs of images with outcomes: who teaches the network, and whom head and Cox models are fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas

from PrognosisLib.cohort import CohortCase, read_cohort, split_by_patient
from PrognosisLib.cohort_checks import FEWEST_EACH, check_events
from PrognosisLib.errors import InputError
from PrognosisLib.framewise.frames import gray_scale
from PrognosisLib.framewise.lattice import SHAPE, FrameLattice
from PrognosisLib.images.cine.checks import check_cine
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.screen import find_screen
from PrognosisLib.images.readers import read_volume
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.validation.cases import clinical_values

from ..simulation.causes import SIGNS
from .features import see_pairs
from .fitting import candidates_of, complete_rows, select_clinical
from .groups import Group
from .outcomes_table import table_of_rows
from .targets import TaughtPairs

if TYPE_CHECKING:
    from torch import nn

ROLES = ("t0", "t1")
LABELS = ("t0_labels", "t1_labels")
# Deaths of the patients whom the Cox models are fitted to, over the fewest that the selection bears.
DEATHS_OVER_FEWEST = 1.1
MOST_FOR_NETWORK = 0.5  # of the patients, whose outcomes teach the network


class OwnPairs(NamedTuple):
    """Cases with both images on the lattice and a row each of outcomes_table."""

    gray: np.ndarray
    liver: np.ndarray
    outlined: np.ndarray
    table: pandas.DataFrame

    def rows(self, those: np.ndarray) -> OwnPairs:
        """Some of the cases."""
        arrays = (one[those] for one in self[:3])
        return OwnPairs(*arrays, self.table[those].reset_index(drop=True))

    def taught(self, by_outcome: np.ndarray) -> TaughtPairs:
        """For the network: the outlines of all, the outcomes of those where `by_outcome` (n,) says so."""
        n = len(self.table)
        died = (self.table["status"] == 1).to_numpy(np.float32)
        return TaughtPairs(
            self.gray,
            self.liver,
            self.outlined,
            np.full((n, 2, len(SIGNS)), np.nan, np.float32),
            np.full((n, 2), np.nan, np.float32),
            np.where(by_outcome, self.table["days"], np.nan).astype(np.float32),
            died,
        )

    def group(self, network: nn.Module) -> Group:
        """As the network sees them."""
        return Group(self.table, self.gray, self.liver, self.outlined, see_pairs(network, self.gray))


class OwnCohort(NamedTuple):
    """Cases for training, cases held out, and whose outcomes teach the network (n,)."""

    pairs: OwnPairs
    kept: OwnPairs
    by_outcome: np.ndarray

    def facts(self) -> dict[str, Any]:
        """For the bundle's "training"."""
        return {
            "cohort_pairs": len(self.pairs.table),
            "outlined": int(self.pairs.outlined.sum()),
            "own_outcomes": int(self.by_outcome.sum()),
            "training": self.pairs.table["patient"].tolist(),
        }


NO_COHORT: dict[str, Any] = {"cohort_pairs": 0, "outlined": 0, "own_outcomes": 0, "training": []}


def read_own(cohort: Path, validation: str, seed: int) -> OwnCohort:
    """A cohort file as own_pairs takes it, checked so that nothing is trained in vain.

    Raises:
        InputError: an image, an outcome or a value is unfit, or too few patients died.
    """
    pairs, kept = own_pairs(cohort, validation)
    by_outcome = for_network(pairs.table, seed)
    check_outcomes(pairs.rows(~by_outcome).table)
    return OwnCohort(pairs, kept, by_outcome)


def own_pairs(cohort: Path, validation: str) -> tuple[OwnPairs, OwnPairs]:
    """Cases for training, and those held out.

    Columns: case, t0, t1, days, and status (0 censored, 1 died, 2 transplanted) or died (1 or 0); where known patient,
    t0_labels and t1_labels (label maps of the image, liver over 0), t0_frame and t1_frame (number, from 1, of the frame
    to read; the middle one by default), clinical (a JSON file) or clinical values.

    Raises:
        InputError: an image, an outcome or a value is unfit, or too few patients died.
    """
    cases = read_cohort(cohort, ROLES, optional=(*LABELS, "clinical"))
    held = [name.strip() for name in validation.split(",") if name.strip()]
    split = split_by_patient(cases, held, ROLES)
    table = table_of_cases(cases, clinical_values(SYSTEMS["hepato"], cohort))
    where = {case.case: row for row, case in enumerate(cases)}
    tables = [table.iloc[[where[case.case] for case in part]].reset_index(drop=True) for part in split]
    check_outcomes(tables[0])
    return tuple(_pairs(part, rows) for part, rows in zip(split, tables, strict=True))


def table_of_cases(
    cases: Sequence[CohortCase], clinical: Mapping[str, dict[str, Any] | InputError]
) -> pandas.DataFrame:
    """The table of outcomes_table for cases of a cohort file.

    Raises:
        InputError: a value or an outcome that is unfit, with the case.
    """
    rows = []
    for case in cases:
        values = clinical[case.case]
        if isinstance(values, InputError):
            raise InputError(f"Case '{case.case}': {values}")
        outcome = {"days": case.values.get("days", ""), "status": outcome_of(case.values)}
        rows.append({**values, "case": case.case, **outcome})  # errors name the case
    return table_of_rows(rows).assign(patient=[case.patient for case in cases])


def outcome_of(values: Mapping[str, str]) -> str:
    """Status of a row: its own, or by the columns died and transplanted."""
    status = str(values.get("status", "")).strip()
    died, moved = (str(values.get(name, "")).strip().lower() for name in ("died", "transplanted"))
    if status or died not in ("0", "1", "no", "yes"):
        return status
    return "1" if died in ("1", "yes") else "2" if moved in ("1", "yes") else "0"


def check_outcomes(table: pandas.DataFrame) -> None:
    """Raises InputError where the patients do not bear a clinical model, so that nothing is trained in vain."""
    candidates = candidates_of(table)
    check_events(int((table["status"] == 1).sum()), max(len(candidates), 1), "the selection for the clinical model")
    select_clinical(table, complete_rows(table, candidates))


def for_network(table: pandas.DataFrame, seed: int) -> np.ndarray:
    """Whose outcomes teach the network, bool (n,): at most half, and so few that enough deaths are left for the rest.

    Head and Cox models are fitted to the others, whose readings are then as those of unseen patients.
    """
    deaths = int((table["status"] == 1).sum())
    needed = DEATHS_OVER_FEWEST * FEWEST_EACH * max(len(candidates_of(table)), 1)
    share = min(MOST_FOR_NETWORK, 1 - needed / deaths)
    names = np.unique(table["patient"])
    if share < 0.1:
        return np.zeros(len(table), bool)
    # those who died and those who did not are dealt out apart, so that either side has its share of deaths
    dead = set(table["patient"][table["status"] == 1])
    rng, chosen = np.random.default_rng([seed, 83]), set()
    for those in ([n for n in names if n in dead], [n for n in names if n not in dead]):
        chosen |= set(rng.permutation(np.array(those, object))[: int(share * len(those))])
    return table["patient"].isin(chosen).to_numpy()


def _pairs(cases: Sequence[CohortCase], table: pandas.DataFrame) -> OwnPairs:
    n = len(cases)
    gray, liver = np.zeros((n, 2, *SHAPE), np.uint8), np.zeros((n, 2, *SHAPE), bool)
    outlined = np.zeros((n, 2), bool)
    for row, case in enumerate(cases):
        for when, role in enumerate(ROLES):
            outline = case.files.get(LABELS[when])
            gray[row, when], liver[row, when] = _on_lattice(case, role, outline)
            outlined[row, when] = outline is not None
    return OwnPairs(gray, liver, outlined, table)


def _on_lattice(case: CohortCase, role: str, outline: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Gray values and liver of the frame that is read."""
    cine = read_cine(case.files[role])
    screen = find_screen(cine)
    check_cine(cine, screen, min_frames=1)
    number = _frame_of(case, role, cine)
    lattice = FrameLattice.of(cine, screen)
    gray = lattice(screen.seen(cine.frame(number, gray=True))) * gray_scale(cine)
    liver = np.zeros(SHAPE, bool)
    if outline is not None:
        drawn = labels_of(read_volume(outline, "labels").array, cine, number, case.case, role)
        liver = lattice(drawn.astype(np.float32)) > 0.5
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8), liver


def labels_of(labels: np.ndarray, cine: Cine, number: int, case: str, role: str) -> np.ndarray:
    """The liver (rows, columns) bool in a frame of a film, of a label map (k, j, i) of that frame or of all.

    Raises:
        InputError: it is of another size than the film.
    """
    if labels.shape[1:] != cine.frame_shape or len(labels) not in (1, len(cine)):
        raise InputError(
            f"Case '{case}': the labels of {role.upper()} have {labels.shape} pixels and the image has "
            f"{(len(cine), *cine.frame_shape)}; draw them on the image."
        )
    return labels[number if len(labels) > 1 else 0] > 0


def _frame_of(case: CohortCase, role: str, cine: Cine) -> int:
    """Number, from 0, of the frame to read."""
    text = str(case.values.get(f"{role}_frame", "")).strip()
    if not text:
        return len(cine) // 2
    if not text.isdigit() or not 1 <= int(text) <= len(cine):
        raise InputError(f"Case '{case.case}': {role}_frame is '{text}'; give a number from 1 to {len(cine)}.")
    return int(text) - 1
