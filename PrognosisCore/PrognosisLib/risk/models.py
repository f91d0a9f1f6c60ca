"""Cox and logistic models: stored as readable JSON, predicted with intervals by numpy alone; fitting.py fits them.

Predictors are centered at their means in the training cohort. A predictor that is not known is replaced by its mean
given the known ones, as if the predictors were jointly normal; what it could still be is averaged over in the estimate
and added to the interval. `note` says which were filled in, and "simulated cohort" where the model was trained on one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..errors import BundleError, InputError
from ..findings import SIMULATED

FORMAT = "prognosis risk model 1"
Z_95 = 1.959963984540054
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(31)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_FAR = 4.0  # standard deviations from the cohort's mean beyond which a value is called unlike the cohort


@dataclass(frozen=True)
class Predictor:
    """A column of the training frame: its name, what the user reads and its unit."""

    name: str
    label: str
    unit: str = ""


@dataclass(frozen=True)
class LinearModel:
    """What Cox and logistic models share.

    Args:
        coefficients: (p,), per unit of each predictor; means: (p,), on which predictors are centered.
        coefficient_covariance: (p, p), of the logistic model (1 + p, 1 + p) with the intercept first.
        predictor_covariance: (p, p), of the predictors in the training cohort, for those that are not known.
        cohort: {"name": text, "simulated": bool}.
        performance: JSON-able figures of discrimination and calibration, with what they were measured on.
        provenance: seeds and versions.
    """

    name: str
    outcome: str
    predictors: tuple[Predictor, ...]
    coefficients: np.ndarray
    means: np.ndarray
    coefficient_covariance: np.ndarray
    predictor_covariance: np.ndarray
    n: int
    events: int
    cohort: Mapping[str, Any]
    performance: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    kind: ClassVar[str] = ""

    @property
    def simulated(self) -> bool:
        return bool(self.cohort["simulated"])

    def _vector(self, values: Mapping[str, float | None]) -> tuple[np.ndarray, float, np.ndarray]:
        """Centered predictors (p,), standard deviation that missing ones leave in the linear predictor, known (p,)."""
        names = [one.name for one in self.predictors]
        strange = [name for name in values if name not in names]
        if strange:
            raise InputError(f'"{strange[0]}" is no predictor of {self.name}; they are {", ".join(names)}.')
        raw = np.array([np.nan if values.get(name) is None else float(values[name]) for name in names])
        given = np.array([values.get(name) is not None for name in names])
        if not np.isfinite(raw[given]).all():
            raise InputError(f"predictors of {self.name} must be finite numbers; leave out what is not known.")
        x, spread = raw - self.means, 0.0
        if not given.all():
            lost, sigma = ~given, self.predictor_covariance
            weights = np.linalg.pinv(sigma[np.ix_(given, given)]) @ sigma[np.ix_(given, lost)]
            x[lost] = weights.T @ x[given]
            rest = sigma[np.ix_(lost, lost)] - sigma[np.ix_(lost, given)] @ weights
            spread = math.sqrt(max(float(self.coefficients[lost] @ rest @ self.coefficients[lost]), 0.0))
        return x, spread, given

    def linear_predictor(self, values: Mapping[str, float | None]) -> float:
        """Log hazard ratio (Cox) or log odds ratio (logistic) against the cohort's mean patient."""
        return float(self._vector(values)[0] @ self.coefficients)

    def contributions(self, values: Mapping[str, float | None]) -> dict[str, float]:
        """What each predictor adds to the linear predictor, the filled-in ones too; the sum is the linear predictor."""
        parts = self._vector(values)[0] * self.coefficients
        return {one.name: float(part) for one, part in zip(self.predictors, parts, strict=True)}

    def note(self, values: Mapping[str, float | None]) -> str:
        """What the reader of a prediction must know."""
        x, _, given = self._vector(values)
        far = np.abs(x) > _FAR * np.sqrt(np.diag(self.predictor_covariance))
        parts = [SIMULATED] if self.simulated else []
        missing = [one.label for one, known in zip(self.predictors, given, strict=True) if not known]
        if missing:
            parts.append(f"not given, estimated from the rest, interval widened: {', '.join(missing)}")
        unlike = [one.label for one, beyond, known in zip(self.predictors, far, given, strict=True) if beyond and known]
        if unlike:
            parts.append(f"far outside the training cohort: {', '.join(unlike)}")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "kind": self.kind,
            "name": self.name,
            "outcome": self.outcome,
            "cohort": dict(self.cohort),
            "n": self.n,
            "events": self.events,
            "predictors": [
                {
                    "name": one.name,
                    "label": one.label,
                    "unit": one.unit,
                    "mean": _short(mean),
                    "coefficient": _short(coefficient),
                }
                for one, mean, coefficient in zip(self.predictors, self.means, self.coefficients, strict=True)
            ],
            "coefficient_covariance": _short(self.coefficient_covariance),
            "predictor_covariance": _short(self.predictor_covariance),
            "performance": dict(self.performance),
            "provenance": dict(self.provenance),
        }

    def to_json(self) -> str:
        return readable_json(self.to_dict())

    @staticmethod
    def _common(data: Mapping[str, Any]) -> dict[str, Any]:
        items = data["predictors"]
        for item in items:
            _keys(item, ("name", "label", "unit", "mean", "coefficient"))
        p = len(items)
        _require(p > 0 and len({item["name"] for item in items}) == p, "its predictors are empty or named twice")
        _keys(data["cohort"], ("name", "simulated"))
        _require(isinstance(data["cohort"]["simulated"], bool), "cohort.simulated must be true or false")
        n, events = data["n"], data["events"]
        _require(type(n) is int and type(events) is int and 0 < events <= n, "n and events do not fit each other")
        return {
            "name": str(data["name"]),
            "outcome": str(data["outcome"]),
            "predictors": tuple(Predictor(str(i["name"]), str(i["label"]), str(i["unit"])) for i in items),
            "coefficients": _array([item["coefficient"] for item in items], (p,)),
            "means": _array([item["mean"] for item in items], (p,)),
            "coefficient_covariance": _covariance(data["coefficient_covariance"]),
            "predictor_covariance": _covariance(data["predictor_covariance"], p),
            "n": n,
            "events": events,
            "cohort": data["cohort"],
            "performance": data["performance"],
            "provenance": data["provenance"],
        }


_COMMON_KEYS = (
    "format",
    "kind",
    "name",
    "outcome",
    "cohort",
    "n",
    "events",
    "predictors",
    "coefficient_covariance",
    "predictor_covariance",
    "performance",
    "provenance",
)


@dataclass(frozen=True)
class CoxModel(LinearModel):
    """Proportional hazards with Breslow's baseline at the predictors' means, on a grid of times.

    Args:
        time_unit: "months", "days" ...
        times: (t,), increasing, over 0.
        baseline_hazard: (t,), cumulative hazard of the mean patient.
        hazard_variance: (t,), sum of events / risk-set sum squared.
        hazard_mean: (t, p), centered predictors of the risk sets, averaged over the hazard; both for the interval.
    """

    time_unit: str = "months"
    times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    baseline_hazard: np.ndarray = field(default_factory=lambda: np.zeros(0))
    hazard_variance: np.ndarray = field(default_factory=lambda: np.zeros(0))
    hazard_mean: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    kind: ClassVar[str] = "cox"

    def predict_survival(
        self, values: Mapping[str, float | None], times: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Survival at `times` with a 95 % interval, three (n,) arrays.

        The interval is symmetric in log(-log S), from the delta method with the variance of coefficients and baseline
        (Tsiatis, Ann Stat 1981;9:93), and from what missing predictors could be.

        Raises:
            InputError: an unknown predictor, or a time before 0 or after the cohort's follow-up.
        """
        wanted = np.asarray(times, float)
        if not ((wanted >= 0) & (wanted <= self.times[-1])).all():
            raise InputError(f"{self.name} predicts from 0 to {self.times[-1]:g} {self.time_unit} only.")
        x, spread, _ = self._vector(values)
        hazard = np.maximum(self.baseline_hazard, 1e-12)
        deviation = x - self.hazard_mean
        variance = self.hazard_variance / hazard**2
        variance = variance + np.einsum("ti,ij,tj->t", deviation, self.coefficient_covariance, deviation) + spread**2
        center = math.exp(x @ self.coefficients) * self.baseline_hazard
        survival = np.exp(-np.outer(center, np.exp(spread * _NODES))) @ _WEIGHTS
        reach = np.exp(Z_95 * np.sqrt(variance))
        hazards = (-np.log(np.maximum(survival, 1e-300)), center * reach, center / reach)
        grid = np.concatenate([[0.0], self.times])
        result = [np.exp(-np.interp(wanted, grid, np.concatenate([[0.0], one]))) for one in hazards]
        return result[0], result[1], result[2]

    def median_survival(self, values: Mapping[str, float | None]) -> tuple[float | None, float | None, float | None]:
        """Time at which survival falls to one half, with the ends of its interval; None where follow-up ends before."""
        fine = np.linspace(0, self.times[-1], 2001)
        found = []
        for curve in self.predict_survival(values, fine):
            below = np.flatnonzero(curve <= 0.5)
            found.append(float(fine[below[0]]) if len(below) else None)
        return found[0], found[1], found[2]

    def to_dict(self) -> dict[str, Any]:
        baseline = {
            "time": _short(self.times),
            "survival": [float(f"{value:.12g}") for value in np.exp(-self.baseline_hazard)],
            "hazard_variance": _short(self.hazard_variance),
            "hazard_mean": _short(self.hazard_mean),
        }
        return {**super().to_dict(), "time_unit": self.time_unit, "baseline": baseline}

    @classmethod
    def from_json(cls, text: str) -> CoxModel:
        """Raises BundleError when the text is not a Cox model in the form of `to_json`, whole and finite."""
        return cls.from_dict(parse_json(text))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CoxModel:
        """The same from JSON that was read already."""
        _check_form(data, cls.kind, (*_COMMON_KEYS, "time_unit", "baseline"))
        return _guarded(cls._from_data, data)

    @classmethod
    def _from_data(cls, data: Mapping[str, Any]) -> CoxModel:
        common, base = cls._common(data), data["baseline"]
        _keys(base, ("time", "survival", "hazard_variance", "hazard_mean"))
        count, p = len(base["time"]), len(common["predictors"])
        times, survival = _array(base["time"], (count,)), _array(base["survival"], (count,))
        _require(count > 0 and times[0] > 0 and (np.diff(times) > 0).all(), "baseline times must increase from over 0")
        _require(
            survival[0] <= 1 and survival[-1] > 0 and (np.diff(survival) <= 0).all(),
            "baseline survival must fall within 1 to 0",
        )
        _require(common["coefficient_covariance"].shape == (p, p), "a covariance has the wrong size")
        variance = _array(base["hazard_variance"], (count,))
        _require((variance >= 0).all(), "a variance is negative")
        return cls(
            **common,
            time_unit=str(data["time_unit"]),
            times=times,
            baseline_hazard=-np.log(survival),
            hazard_variance=variance,
            hazard_mean=_array(base["hazard_mean"], (count, p)),
        )


@dataclass(frozen=True)
class LogisticModel(LinearModel):
    """Logistic regression; `intercept` is the log odds of the cohort's mean patient."""

    intercept: float = 0.0

    kind: ClassVar[str] = "logistic"

    def predict(self, values: Mapping[str, float | None]) -> tuple[float, float, float]:
        """Probability and 95 % interval, symmetric in the log odds; delta method, and what missing values could be."""
        x, spread, _ = self._vector(values)
        center = self.intercept + float(x @ self.coefficients)
        row = np.concatenate([[1.0], x])
        reach = Z_95 * math.sqrt(float(row @ self.coefficient_covariance @ row) + spread**2)
        estimate = float(_sigmoid(center + spread * _NODES) @ _WEIGHTS)
        return estimate, float(_sigmoid(center - reach)), float(_sigmoid(center + reach))

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "intercept": _short(self.intercept)}

    @classmethod
    def from_json(cls, text: str) -> LogisticModel:
        """Raises BundleError when the text is not a logistic model in the form of `to_json`, whole and finite."""
        return cls.from_dict(parse_json(text))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LogisticModel:
        """The same from JSON that was read already."""
        _check_form(data, cls.kind, (*_COMMON_KEYS, "intercept"))
        return _guarded(cls._from_data, data)

    @classmethod
    def _from_data(cls, data: Mapping[str, Any]) -> LogisticModel:
        common = cls._common(data)
        p = len(common["predictors"])
        _require(common["coefficient_covariance"].shape == (p + 1, p + 1), "a covariance has the wrong size")
        return cls(**common, intercept=float(_array(data["intercept"], ())))


def _sigmoid(x: np.ndarray | float) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x, float)))


# --- reading ----------------------------------------------------------------------------------------------------------


def _short(values: Any) -> Any:
    """Plain floats with ten significant digits."""
    if np.ndim(values) == 0:
        return float(f"{float(values):.10g}")
    return [_short(value) for value in values]


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise BundleError(f"the risk model is damaged: {reason}; install its bundle again.")


def _keys(item: Any, keys: Sequence[str]) -> None:
    _require(isinstance(item, dict), "a part of it is not an object")
    odd = sorted(set(item) ^ set(keys))
    _require(not odd, f'"{odd[0]}" is {"missing" if odd and odd[0] in keys else "not known"}' if odd else "")


def _array(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values)
    _require(array.dtype.kind in "if" and array.shape == shape, "a number is missing or is no number")
    return array.astype(float)


def _covariance(values: Any, size: int | None = None) -> np.ndarray:
    size = len(values) if size is None else size
    matrix = _array(values, (size, size))
    tolerance = 1e-6 * max(float(np.abs(matrix).max()), 1e-300)
    _require(
        bool(np.allclose(matrix, matrix.T, rtol=0, atol=tolerance) and np.linalg.eigvalsh(matrix).min() > -tolerance),
        "a covariance is not symmetric and positive",
    )
    return matrix


def _refuse(name: str) -> None:
    raise BundleError(f"the risk model is damaged: it holds {name}; install its bundle again.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse(text)
    return value


def readable_json(data: Mapping[str, Any]) -> str:
    """Indented JSON with one row of a matrix per line."""
    text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s*\n\s*", " ", found.group()), text) + "\n"


def parse_json(text: str) -> Any:
    """JSON without NaN, infinity or numbers too large for a float. Raises BundleError."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except BundleError:
        raise
    except (ValueError, RecursionError):
        raise BundleError("the risk model is not valid JSON; install its bundle again.") from None


def _check_form(data: Any, kind: str, keys: Sequence[str]) -> None:
    _require(isinstance(data, dict), "it is not an object")
    _require(data.get("format") == FORMAT and data.get("kind") == kind, f'it is not a {kind} model of "{FORMAT}"')
    _keys(data, keys)
    _require(_all_finite(data), "it holds a number that is not finite")


def _all_finite(data: Any) -> bool:
    if isinstance(data, dict):
        return all(map(_all_finite, data.values()))
    if isinstance(data, list):
        return all(map(_all_finite, data))
    return not isinstance(data, float) or math.isfinite(data)


def _guarded(build: Any, data: Mapping[str, Any]) -> Any:
    try:
        return build(data)
    except (TypeError, KeyError, ValueError, IndexError, OverflowError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError("the risk model is damaged: a part has the wrong form; install its bundle again.") from None
