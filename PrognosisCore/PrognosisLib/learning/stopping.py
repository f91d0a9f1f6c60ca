"""When a training has learned enough: the loss on patients who are kept out, measured on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import torch

    from .training import Batch

MEASUREMENTS = 40  # in a run that is not stopped


@dataclass(frozen=True)
class Watch:
    """Patients who are kept out, and how long training goes on without becoming better on them.

    Args:
        draw: makes one batch of them, as that of the training does; the same batches are drawn at every measurement.
        patience: so many measurements in a row without a lower loss end the training.
        every: steps from one measurement to the next; batches: drawn for each.
    """

    draw: Callable[[np.random.Generator], Batch]
    patience: int
    every: int = 100
    batches: int = 8


@dataclass
class Best:
    """The lowest loss so far, the step and the averaged weights that gave it, and measurements since."""

    loss: float = math.inf
    step: int = 0
    misses: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def note(self, loss: float, step: int, weights: dict[str, torch.Tensor]) -> None:
        """One measurement; a loss that is not a number is none that is lower."""
        if loss < self.loss:
            kept = {name: value.detach().clone() for name, value in weights.items()}
            self.loss, self.step, self.misses, self.weights = loss, step, 0, kept
        else:
            self.misses += 1

    def state(self) -> dict[str, Any]:
        """For a checkpoint: numbers and tensors only; `Best(**state)` gives it back."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def watch_of(kept: Sequence[Any], draw_from: Callable[[Sequence[Any]], Any], patience: int, steps: int) -> Watch | None:
    """What watches a training of so many steps; None for a patience of 0, which trains to the last one.

    Args:
        kept: the patients who are kept out; draw_from: makes what draws batches of them.

    Raises:
        InputError: see `check_patience`.
    """
    check_patience(patience, len(kept))
    return Watch(draw_from(kept), patience, max(1, steps // MEASUREMENTS)) if patience else None


def check_patience(patience: int, kept: int) -> None:
    """Raises InputError for a patience below 0, and for one without patients who are kept out."""
    if patience < 0:
        raise InputError(f"The patience is {patience}; give measurements, or 0 to train to the last step.")
    if patience and not kept:
        raise InputError("Training can stop early only by patients kept out of it; name some as validation patients.")


@dataclass(frozen=True)
class Stopping:
    """How a watched training ended, for the bundle's metadata.

    Args:
        stopped_at: its last step; of: the steps that it might have taken; best_step: of the weights that were kept.
    """

    stopped_at: int
    of: int
    best_step: int
    validation_loss: float
    patience: int
    measured_every: int

    @property
    def text(self) -> str:
        """In words, to follow "Training "."""
        how = "stopped at step" if self.stopped_at < self.of else "went to step"
        return (
            f"{how} {self.stopped_at} of {self.of}; the weights are those of step {self.best_step}, where the loss on "
            "the held-out patients was lowest, so figures on these are a little too good."
        )

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.text}


def stopping_facts(endings: Mapping[str, Stopping | None]) -> dict[str, Any]:
    """What the bundle's "training" says of watched runs, by network: {"early_stopping": ...}, {} where none was."""
    known = {name: one.as_dict() for name, one in endings.items() if one is not None}
    return {"early_stopping": known} if known else {}


def stopping_lines(training: Mapping[str, Any]) -> list[str]:
    """The same as sentences of a model card."""
    told = training.get("early_stopping", {})
    return [f"Training of the network '{name}' {one['text']}" for name, one in told.items()]
