"""What the network is taught of each pair of images: outlines, signs, and the risk or what became of the patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..simulation.causes import SIGNS, draw_seeds
from .outcomes_table import as_log_hazard, table_of_columns
from .pairs import Pairs


class TaughtPairs(NamedTuple):
    """Pairs of images of n patients with what is known of them; NaN where it is not.

    gray: (n, 2, 160, 192) uint8 at T0 and T1; liver: the same, bool; outlined: (n, 2) bool, whether `liver` is known.
    signs: (n, 2, s) of causes.SIGNS; log_hazard: (n, 2) the best possible one by T0 alone and by both images.
    days, died: (n,) the outcome, which is used where the log hazard is not known.
    """

    gray: np.ndarray
    liver: np.ndarray
    outlined: np.ndarray
    signs: np.ndarray
    log_hazard: np.ndarray
    days: np.ndarray
    died: np.ndarray

    @property
    def count(self) -> int:
        """Of patients."""
        return len(self.gray)

    def rows(self, those: np.ndarray) -> TaughtPairs:
        """Some of the patients."""
        return TaughtPairs(*(column[those] for column in self))

    def without_risk(self) -> TaughtPairs:
        """The same, so that images and signs are learned from it and risk is not."""
        return self._replace(log_hazard=np.full_like(self.log_hazard, np.nan), days=np.full_like(self.days, np.nan))


def taught(pairs: Pairs) -> TaughtPairs:
    """Simulated pairs. The risk is what the oracle knows from the signs in the images: an outcome with less noise."""
    columns = draw_seeds(pairs.seeds.tolist())
    table = table_of_columns(columns, pairs.names)
    signs = [np.stack([columns[f"{when}_{name}"] for name in SIGNS], axis=1) for when in ("t0", "t1")]
    oracles = [as_log_hazard(table[f"oracle_{name}"].to_numpy()) for name in ("siamese_t0", "siamese")]
    return TaughtPairs(
        pairs.gray,
        pairs.liver,
        np.ones(pairs.gray.shape[:2], bool),
        np.stack(signs, axis=1).astype(np.float32),
        np.stack(oracles, axis=1).astype(np.float32),
        table["days"].to_numpy(np.float32),
        (table["status"] == 1).to_numpy(np.float32),
    )


def scale_of(values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over all but the last axis, NaN left out; deviation 1 where there is none."""
    flat = np.concatenate([one.reshape(-1, one.shape[-1]) for one in values])
    deviation = np.nanstd(flat, axis=0)
    return np.nanmean(flat, axis=0), np.where(deviation > 0, deviation, 1.0)
