"""What a bundle knows of the prognosis: three Cox models, the risk groups of its cohort, and their figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.errors import BundleError
from PrognosisLib.risk import CoxModel

from ..labels import GROUPS, HORIZON_DAYS, LAST_DAY, MODELS, VARIANTS
from ..predictors import BY_NAME, SIAMESE

FORMAT = "prognosis hepato readout 1"
FILE = "prognosis"  # models/prognosis.json


@dataclass(frozen=True)
class Band:
    """A curve over the readout's days with its 95 % interval, three (d,) arrays from 0 to 1."""

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def to_dict(self) -> dict[str, list[float]]:
        return {key: [round(float(v), 4) for v in getattr(self, key)] for key in ("value", "lower", "upper")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], count: int) -> Band:
        """Raises ValueError, KeyError or TypeError where it is not what `to_dict` gave for so many days."""
        found = [np.asarray(data[key], float) for key in ("value", "lower", "upper")]
        if any(one.shape != (count,) or not ((one >= 0) & (one <= 1)).all() for one in found):
            raise ValueError("no band of probabilities")
        return cls(*found)


@dataclass(frozen=True)
class RiskGroup:
    """Patients of the cohort whose mortality, by one of the models, lies in one third.

    Args:
        n: number of patients.
        survival: Kaplan-Meier, as if there were no transplants.
        died, transplanted: cumulative incidence of each while the other competes (Aalen-Johansen).
    """

    n: int
    survival: Band
    died: Band
    transplanted: Band

    def to_dict(self) -> dict[str, Any]:
        bands = {key: getattr(self, key).to_dict() for key in ("survival", "died", "transplanted")}
        return {"n": self.n, **bands}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], count: int) -> RiskGroup:
        bands = (Band.from_dict(data[key], count) for key in ("survival", "died", "transplanted"))
        return cls(int(data["n"]), *bands)


@dataclass(frozen=True)
class HepatoReadout:
    """What a bundle knows.

    Args:
        models: by key of labels.MODELS; their "performance" holds the test figures.
        ranges: lowest and highest usual value of each predictor, for the nomogram's axes.
        cuts: by labels.VARIANTS, the 30-day mortality that parts low from intermediate and intermediate from high risk.
        groups: by labels.VARIANTS and name of labels.GROUPS.
        days: (d,) of the groups' curves, ascending from 0.
        simulated: whether the cohort was.
    """

    models: Mapping[str, CoxModel]
    ranges: Mapping[str, tuple[float, float]]
    cuts: Mapping[str, tuple[float, float]]
    groups: Mapping[str, Mapping[str, RiskGroup]]
    days: np.ndarray
    simulated: bool

    def group_of(self, variant: str, mortality: float) -> str:
        """Name of the risk group of a 30-day mortality, 0 to 1; one on a limit belongs to the higher group."""
        return GROUPS[sum(mortality >= cut for cut in self.cuts[variant])]

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> HepatoReadout:
        """Raises BundleError where models/prognosis.json is damaged."""
        return cls.from_dict(bundle.json(FILE), bundle.is_part_simulated("risk"))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], simulated: bool) -> HepatoReadout:
        """Raises BundleError where it is not what `to_dict` gave."""
        try:
            found = cls._from_data(content, simulated)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError("The prognosis of the model bundle is damaged; install the bundle again.") from error
        return found

    @classmethod
    def _from_data(cls, content: Mapping[str, Any], simulated: bool) -> HepatoReadout:
        models = {name: CoxModel.from_dict(content["models"][name]) for name in MODELS}
        known = {*BY_NAME, *(one.name for one in SIAMESE)}
        used = {one.name for model in models.values() for one in model.predictors}
        ranges = {str(name): (float(ends[0]), float(ends[1])) for name, ends in content["ranges"].items()}
        cuts = {name: (float(content["cuts"][name][0]), float(content["cuts"][name][1])) for name in VARIANTS}
        days = np.asarray(content["days"], float)
        groups = {
            name: {group: RiskGroup.from_dict(content["groups"][name][group], len(days)) for group in GROUPS}
            for name in VARIANTS
        }
        good = content["format"] == FORMAT and used <= known and used <= set(ranges)
        good = good and all(low < high for low, high in ranges.values())
        good = good and all(0 < low < high < 1 for low, high in cuts.values())
        good = good and days[0] == 0 and days[-1] >= HORIZON_DAYS and bool((np.diff(days) > 0).all())
        good = good and all(model.times[-1] >= LAST_DAY for model in models.values())
        if not good:
            raise ValueError("parts do not fit each other")
        return cls(models, ranges, cuts, groups, days, simulated)

    def to_dict(self) -> dict[str, Any]:
        """Content of models/prognosis.json."""
        return {
            "format": FORMAT,
            "models": {name: model.to_dict() for name, model in self.models.items()},
            "ranges": {name: [float(f"{end:.6g}") for end in ends] for name, ends in self.ranges.items()},
            "cuts": {name: [round(end, 5) for end in ends] for name, ends in self.cuts.items()},
            "groups": {
                name: {group: one.to_dict() for group, one in those.items()} for name, those in self.groups.items()
            },
            "days": [float(day) for day in self.days],
        }
