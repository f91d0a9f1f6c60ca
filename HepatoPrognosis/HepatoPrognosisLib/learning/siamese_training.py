"""Training of the network: one encoder for both images of a pair, all tasks at once.

A batch has pairs of T0 and T1, odd views, and frames without a liver. The network learns where the liver is and whether
one is in view, and from the features that are pooled over it the signs of each image, by how much they change, and
two log hazards: by T0 alone, and by T0 and the difference. What is linear in the features here only teaches them; what
a bundle reads is fitted afterwards (heads.py), to patients whom the network never saw.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from PrognosisLib.framewise.frames import FEWEST_LIVER_CM2
from PrognosisLib.learning.frame_variety import FOR_LIVER, Variety, vary
from PrognosisLib.learning.stopping import watch_of
from PrognosisLib.learning.training import LoopSettings, TrainingRun

from ..networks.catalog import FEATURES, build
from ..simulation.causes import SIGNS
from .empty_frames import NONE_CM2, EmptyFrames, area_cm2
from .pairs import Views
from .targets import TaughtPairs, scale_of

PAIRS, VIEWS, EMPTY = 16, 8, 3  # of a batch
VIEWS_SHARE = 0.6  # of the views that teach the outline; the others are images of pairs, changed as strongly
OWN_SHARE = 0.5  # of the pairs, where there are a user's own
# The size of a pixel is known, and caliber and wall are a few percent more or less: scale is hardly changed.
FOR_PAIRS = Variety(scale=0.02, degrees=5.0, shift=4.0, gray=0.35, cropped=0.15)
WEIGHTS = {"liver": 1.0, "seen": 0.3, "signs": 0.5, "changes": 0.5, "risk": 1.0, "outcome": 0.5}


class SiameseNetwork(nn.Module):
    """The network and what teaches its features: images (n, 1, j, i), of which the first 2 PAIRS are T0, then T1.

    Gives logits (n, 2, j, i), detection (n,), signs (2 PAIRS, s) and log hazards (PAIRS, 2), all standardized.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = build()
        self.level = nn.BatchNorm1d(FEATURES, affine=False)
        self.signs = nn.Linear(FEATURES, len(SIGNS))
        self.first, self.pair = nn.Linear(FEATURES, 1), nn.Linear(2 * FEATURES, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        logits, detection, features, _evidence = self.network(image)
        z = self.level(features[: 2 * PAIRS].float())
        z0, z1 = z[:PAIRS], z[PAIRS:]
        risk = torch.cat([self.first(z0), self.pair(torch.cat([z0, z1 - z0], dim=1))], dim=1)
        return logits, detection[:, 0], self.signs(z), risk


class PairSource:
    """Draws batches for a SiameseNetwork: images, and by name

    "liver" (n, j, i) share, NaN where unknown; "seen" (n,) 1, 0 or NaN; "signs" (2 PAIRS, s) and "risk" (PAIRS, 2)
    standardized; "days", "died" (PAIRS,). NaN is not known, and teaches nothing.
    """

    def __init__(
        self, simulated: TaughtPairs, views: Views, own: TaughtPairs | None = None, own_share: float = OWN_SHARE
    ) -> None:
        self.simulated, self.views, self.own, self.own_share = simulated, views, own, own_share
        self.empty = EmptyFrames.among(*views)
        self.sign_scale = scale_of([simulated.signs])
        self.risk_scale = scale_of([simulated.log_hazard]) if np.isfinite(simulated.log_hazard).any() else (0.0, 1.0)

    def __call__(self, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        pairs = [self._pair(rng) for _ in range(PAIRS)]
        frames = [pair[when] for when in (0, 1) for pair in pairs]
        frames += [self._view(rng) for _ in range(VIEWS)] + [self._empty(rng) for _ in range(EMPTY)]
        images, shares = zip(*frames, strict=True)
        facts = [pair[2] for pair in pairs]
        signs, risk, days, died = (np.stack(column) for column in zip(*facts, strict=True))
        liver = torch.cat(shares)
        return torch.stack(images), {
            "liver": liver,
            "seen": _seen(liver),
            "signs": torch.from_numpy(_standard(signs, self.sign_scale).swapaxes(0, 1).reshape(2 * PAIRS, -1)).float(),
            "risk": torch.from_numpy(_standard(risk, self.risk_scale)).float(),
            "days": torch.from_numpy(days).float(),
            "died": torch.from_numpy(died).float(),
        }

    def _pair(self, rng: np.random.Generator) -> tuple:
        """Image and liver of T0 and of T1, mirrored alike, and what is known of the patient."""
        pool = self.own if self.own is not None and rng.random() < self.own_share else self.simulated
        one, mirrored = int(rng.integers(pool.count)), bool(rng.random() < 0.5)
        shown = []
        for when in (0, 1):
            gray, liver = pool.gray[one, when : when + 1], pool.liver[one, when : when + 1]
            image, share = vary(gray, liver, rng, FOR_PAIRS, mirrored)
            shown.append((image, share if pool.outlined[one, when] else torch.full_like(share, torch.nan)))
        return (*shown, (pool.signs[one], pool.log_hazard[one], pool.days[one], pool.died[one]))

    def _view(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """An image for the outline alone."""
        if rng.random() < VIEWS_SHARE:
            pool, place = self.views, (int(rng.integers(len(self.views.gray))),)
        else:
            pool, place = self.simulated, (int(rng.integers(self.simulated.count)), int(rng.integers(2)))
        return vary(pool.gray[place][None], pool.liver[place][None], rng, FOR_LIVER)

    def _empty(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        gray = self.empty(rng)[None]
        return vary(np.ascontiguousarray(gray), np.zeros_like(gray), rng, FOR_LIVER)


def _standard(values: np.ndarray, scale: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return (values - scale[0]) / scale[1]


def _seen(liver: torch.Tensor) -> torch.Tensor:
    """Whether a liver is in view (n,): not told where there is little of it, or where it is not known."""
    area = torch.from_numpy(area_cm2(liver.numpy()))
    unsure = torch.isnan(area) | ((area >= NONE_CM2) & (area < FEWEST_LIVER_CM2))
    return torch.where(unsure, torch.nan, (area >= FEWEST_LIVER_CM2).float())


# --- losses -----------------------------------------------------------------------------------------------------------


def siamese_loss(
    output: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], target: dict[str, torch.Tensor]
) -> torch.Tensor:
    """All tasks, weighted; of the changes and risks those that are known."""
    logits, detection, signs, risk = (one.float() for one in output)
    parts = {
        "liver": liver_loss(logits, target["liver"]),
        "seen": _known(F.binary_cross_entropy_with_logits, detection, target["seen"]),
        "signs": _known(F.mse_loss, signs, target["signs"]),
        "changes": _known(F.mse_loss, signs[PAIRS:] - signs[:PAIRS], target["signs"][PAIRS:] - target["signs"][:PAIRS]),
        "risk": _known(F.mse_loss, risk, target["risk"]),
        "outcome": cox_loss(risk, target),
    }
    return sum(WEIGHTS[name] * part for name, part in parts.items())


def _known(loss, found: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss where the target is known; 0 where nothing is."""
    known = torch.isfinite(target)
    return loss(found[known], target[known]) if known.any() else 0.0 * found.sum()


def liver_loss(logits: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the whole batch, of (n, 2, j, i) logits, where the outline is known."""
    known = torch.isfinite(share[:, 0, 0])
    log_chance, share = F.log_softmax(logits[known], dim=1), share[known]
    entropy = -(share * log_chance[:, 1] + (1 - share) * log_chance[:, 0]).mean()
    chance = log_chance[:, 1].exp()
    return entropy + 1 - (2 * (chance * share).sum() + 1) / ((chance + share).sum() + 1)


def cox_loss(risk: torch.Tensor, target: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cox's partial likelihood of both readings among the patients of the batch with an outcome and without an oracle.

    0 where fewer than two have one, or nobody died.
    """
    rows = torch.isfinite(target["days"]) & ~torch.isfinite(target["risk"]).all(dim=1)
    days, died, risk = target["days"][rows], target["died"][rows] > 0.5, risk[rows]
    if len(days) < 2 or not died.any():
        return 0.0 * risk.sum()
    later = days[None, :] >= days[:, None]
    total = torch.where(later[..., None], risk[None], -torch.inf).logsumexp(dim=1)
    return (total - risk)[died].mean()


def train_siamese(
    simulated: TaughtPairs,
    views: Views,
    work: Path,
    steps: int,
    seed: int,
    own: TaughtPairs | None = None,
    watching: TaughtPairs | None = None,
    patience: int = 0,
) -> tuple[nn.Module, TrainingRun]:
    """The network (catalog.build), in evaluation mode on the CPU, and its training; resumes what lies in `work`.

    Args:
        own: a user's own pairs; where outcomes are among them, the risk is learned from these alone.
        watching: own pairs that are held out, and `patience` as stopping.watch_of has them.
    """
    torch.manual_seed(seed)
    loop = LoopSettings(steps=steps, learning_rate=1.5e-3, weight_decay=1e-2, seed=seed, decay=0.5)
    if own is not None and np.isfinite(own.days).any():
        simulated = simulated.without_risk()
    kept = range(0 if watching is None else watching.count)
    watch = watch_of(kept, lambda _: PairSource(simulated, views, watching, own_share=1.0), patience, steps)
    run = TrainingRun(SiameseNetwork(), PairSource(simulated, views, own), loop, work, siamese_loss, watch)
    run.run()
    return run.final_network().network, run
