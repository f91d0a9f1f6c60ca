"""The course of a training, from the drawing of patients to the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PrognosisLib.errors import InputError
from PrognosisLib.learning.curves import write_learning_curve
from PrognosisLib.learning.stopping import stopping_facts
from PrognosisLib.learning.training import LOG

from . import groups
from .cases import load
from .encoder_training import train_encoder
from .encoding import EncodedCine, encode
from .fitting import fit_models
from .judging import measured_figures
from .liver_training import train_segmenter
from .own_cohort import OwnCases
from .packing import write_fibrosis_bundle
from .teaching import teach_stills

if TYPE_CHECKING:
    from torch import nn

LIVER_STEPS_EACH, ENCODER_STEPS_EACH, VARIANTS = 9, 8, 3


@dataclass(frozen=True)
class Plan:
    """How much is drawn and taught; see workbench.train."""

    steps: int
    simulated: int
    tests: int
    seed: int
    patience: int = 0

    @property
    def liver_steps(self) -> int:
        return LIVER_STEPS_EACH * self.steps

    @property
    def encoder_steps(self) -> int:
        return ENCODER_STEPS_EACH * self.steps


def train_bundle(output: Path, plan: Plan, own: OwnCases | None, facts: Mapping[str, Any]) -> list[Path]:
    """Everything; resumes what lies beside the bundle in `<output>-training`.

    Args:
        own: a user's cases for the classifiers; None: simulated patients.
        facts: "command" and "note" of the card.

    Raises:
        InputError: own cines cannot be read, or none of those held out can end a training.
    """
    work = output.with_name(output.name + "-training")
    segmenter, encoder = single_frame_networks(work, plan)
    if own is None:
        taught, unseen = groups.simulated_teachers(work, plan.simulated, plan.seed, segmenter), None
    else:
        taught, unseen = groups.own_groups(own, segmenter)
    watching = [] if unseen is None else watching_cines(unseen, encoder, plan)
    encoded = encode(taught, encoder, VARIANTS, plan.seed)
    fitted = fit_models(encoded, work, plan.steps, plan.seed, watching, plan.patience)
    tests, measured = groups.simulated_tests(work, plan.tests, plan.seed, segmenter)
    unseen = tests if unseen is None else unseen
    measured |= measured_figures(fitted, [cine.stage for cine in taught], unseen, encode(unseen.cines, encoder))
    record = {
        **facts,
        "seed": plan.seed,
        "steps": plan.steps,
        **stopping_facts(fitted.stopping),
        "liver_steps": plan.liver_steps,
        "encoder_steps": plan.encoder_steps,
        "stills": groups.STILLS_EACH * plan.simulated,
        "simulated": plan.simulated,
        "cines_each": groups.CINES_EACH,
        "cohort_cines": 0 if own is None else len(taught),
        "tests": len(unseen.cines),
    }
    written = write_fibrosis_bundle(output, segmenter, encoder, fitted, record, measured, work)
    return [*written, *curves_of_frames(work), *fitted.curves]


def curves_of_frames(work: Path) -> list[Path]:
    """Pictures of the losses of liver network and encoder, whose frames are all simulated."""
    titles = {"liver": "liver network", "encoder": "encoder"}
    return [
        picture
        for folder, title in titles.items()
        for picture in write_learning_curve(work / folder / LOG, f"FibrosisVideo, {title}", simulated=True)
    ]


def watching_cines(unseen: groups.Unseen, encoder: nn.Module, plan: Plan) -> list[EncodedCine]:
    """Cines held out, in as many variants as those that teach; none where there is no patience.

    Raises:
        InputError: not one shows enough of the liver.
    """
    if not plan.patience:
        return []
    found = [cine for cine in encode(unseen.cines, encoder, VARIANTS, plan.seed) if cine.usable.any()]
    if not found:
        raise InputError(
            "No cine of the patients held out shows enough liver to stop training early by; hold out others, or leave "
            "out the patience."
        )
    return found


def single_frame_networks(work: Path, plan: Plan) -> tuple[nn.Module, nn.Module]:
    """The trained liver network and encoder."""
    stills, views = groups.single_frames(work, plan.simulated, plan.seed)
    frames = ([load(file) for file in group] for group in (stills, views))
    segmenter = train_segmenter(*frames, work / "liver", plan.liver_steps, plan.seed)
    taught = teach_stills(stills, segmenter, work / "taught")
    return segmenter, train_encoder(taught, work / "encoder", plan.encoder_steps, plan.seed)
