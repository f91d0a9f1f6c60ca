"""Tables of cases whose predictions and outcomes are known, for the tests of validation."""

from __future__ import annotations

from typing import Any

import numpy as np

from PrognosisLib.validation import BINARY, CONTINUOUS, QUALITY, SURVIVAL, Endpoint, Published, Score, Study, Subgroup


def rows_of(count: int = 240, seed: int = 5) -> list[dict[str, Any]]:
    """Cases with a risk that drives an event and a time, a quantity with its truth, and Dice."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    chance = 1 / (1 + np.exp(-(x - 0.8)))
    death, censored = rng.exponential(np.exp(-x) * 20), rng.uniform(5, 60, count)
    alive12 = np.exp(-np.exp(x) * 12 / 20)
    true = rng.uniform(100, 900, count)
    return [
        {
            "case": f"secret-{n}",
            "patient": f"person-{n}",
            "chance": 100 * chance[n],
            "noisy": 1 / (1 + np.exp(-(x[n] - 0.8 + rng.normal(0, 1.5)))),
            "points": round(float(x[n] + rng.normal(0, 1)), 1),
            "happened": "yes" if rng.random() < chance[n] else "no",
            "true_chance": float(chance[n]),
            "alive_12": 100 * alive12[n],
            "months": float(min(death[n], censored[n])),
            "died": int(death[n] <= censored[n]),
            "size": true[n] + rng.normal(5, 20),
            "size_lower": true[n] - 40,
            "size_upper": true[n] + 40,
            "true_size": true[n],
            "dice": float(np.clip(rng.normal(0.93, 0.03), 0, 1)),
            "hd95": float("inf") if n == 3 else float(rng.gamma(3)),
            "age": float(rng.integers(20, 90)),
            "sex": "female" if rng.random() < 0.5 else "male",
            "site": "ABC"[n % 3],
            "year": 2015 + n % 6,
        }
        for n in range(count)
    ]


EVENT = Endpoint(
    "event",
    "The event",
    BINARY,
    (
        Score("chance", "Model", "%", chance=True),
        Score("noisy", "Other model", chance=True, point=0.4, source="a paper"),
        Score("points", "Points", "points"),
        Score("absent", "Absent score"),
        Score("true_chance", "Best possible", chance=True, best_possible=True),
    ),
    outcome="happened",
    subgroups=(Subgroup("sex", "Sex"), Subgroup("age", "Age", (50.0,), "years"), Subgroup("smokes", "Smoking")),
    published=(Published("AUC", "0.80", "123", "A et al., B 2020"),),
)
DEATH = Endpoint(
    "death",
    "Death",
    SURVIVAL,
    (
        Score("alive_12", "Cox model", "%", chance=True, falls=True, until=12.0),
        Score("points", "Points", "points", point=0.5),
    ),
    outcome="died",
    time="months",
    groups=("alive_12", "points"),
    subgroups=(Subgroup("sex", "Sex"),),
)
SIZE = Endpoint(
    "size", "Size", CONTINUOUS, (Score("size", "Network"),), outcome="true_size", quantity="Size", unit="mL"
)
MASKS = Endpoint("masks", "Masks", QUALITY, (Score("dice", "Liver"),), quantity="Dice")
FAR = Endpoint(
    "far", "Distance", QUALITY, (Score("hd95", "Liver"),), quantity="Distance", unit="mm", lowest_is_worst=False
)
STUDY = Study("test", "A test system", (EVENT, DEATH, SIZE, MASKS, FAR), notes=("A sentence to know.",))
