"""The bundle's readings of stiffness: one for both sequences and one for each alone, with their test figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.errors import BundleError

from ..labels import THRESHOLDS_KPA
from ..segmenting.network import FEATURES
from .ordinal import OrdinalModel

MODELS = {"both": ("T2", "T1"), "t2": ("T2",), "t1": ("T1",)}


@dataclass(frozen=True)
class Readout:
    """What a bundle knows of stiffness.

    Args:
        models: by name of MODELS.
        figures: by model and threshold: the chosen probability and the test figures at it.
        basis: (d, f) of the features, for fitting readings anew; see learning/ordinal_training.py.
        boundary_mm: uncertainty of a border drawn by hand or edited.
    """

    models: dict[str, OrdinalModel]
    figures: dict[str, Any]
    simulated: bool
    boundary_mm: float
    basis: np.ndarray | None = None

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Readout:
        """Raises BundleError where the file is damaged."""
        content = bundle.json("stiffness")
        boundary_mm = float(bundle.metadata["interval"]["boundary_mm"])
        return cls.from_dict(content, bundle.is_part_simulated("risk"), boundary_mm)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], simulated: bool, boundary_mm: float) -> Readout:
        try:
            models = {name: OrdinalModel.from_dict(content["models"][name], FEATURES) for name in MODELS}
            figures, basis = dict(content["figures"]), content.get("basis")
            basis = None if basis is None else np.asarray(basis, float).reshape(-1, FEATURES)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                "The stiffness model of the model bundle is damaged; install the bundle again."
            ) from error
        if any(models[name].sequences != sequences for name, sequences in MODELS.items()):
            raise BundleError("The stiffness model of the model bundle is damaged; install the bundle again.")
        return cls(models, figures, simulated, boundary_mm, basis)

    def figure(self, model: str, threshold: float) -> dict[str, Any]:
        """Test figures of a model at a threshold: auc, auc_oracle, n, positive, point, sensitivity, specificity."""
        return self.figures.get(model, {}).get(f"{threshold:g}", {})


def model_name(sequences: Collection[str]) -> str:
    """The model for the sequences that there are."""
    return next(name for name, wanted in MODELS.items() if set(wanted) == set(sequences))


def threshold_key(threshold: float) -> str:
    return f"at_least_{threshold:.1f}".replace(".", "_")


PROBABILITIES = tuple(threshold_key(t) for t in THRESHOLDS_KPA)
