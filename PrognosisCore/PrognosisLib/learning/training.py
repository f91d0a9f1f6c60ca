"""One training loop for every network of the extension: resumable, on CPU or CUDA, averaged weights, a log in CSV.

Step n draws its random numbers from (seed, n), so a run that is stopped and resumed sees the same patches as one that
was not. Patients who are kept out can watch a run and end it early; see stopping.py.
"""

from __future__ import annotations

import copy
import csv
import json
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .stopping import Best, Stopping, Watch

logger = logging.getLogger(__name__)

LOG = "log.csv"
CALIBRATION, WATCHED = 10**7, 2 * 10**7  # numbers of the first batches that are not for training

# One target, or several by name for a network of several tasks.
Target = torch.Tensor | dict[str, torch.Tensor]
Batch = tuple[torch.Tensor, Target]


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast. The rate warms up, stays, and falls to zero over the last `decay` part of the steps."""

    steps: int = 4000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up: int = 100
    decay: float = 0.4
    average: float = 0.998
    seed: int = 0
    save_every: int = 100

    def rate(self, step: int) -> float:
        falling = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.learning_rate * max(0.0, min(1.0, (step + 1) / self.warm_up, falling))


def segmentation_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the foreground classes; `target` (n, classes, k, j, i) may be fractional."""
    logits = logits.float()
    log_probability = F.log_softmax(logits, dim=1)
    cross_entropy = -(target * log_probability).sum(dim=1).mean()
    probability = log_probability.exp()[:, 1:]
    truth = target[:, 1:]
    axes = (0, 2, 3, 4)
    overlap = (probability * truth).sum(axes)
    total = (probability + truth).sum(axes)
    present = (truth.sum(axes) > 50).float()
    dice = 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)
    return cross_entropy + (dice * present).sum() / present.sum().clamp(min=1.0)


@cache
def fast_type(device: torch.device) -> torch.dtype | None:
    """bfloat16 where a timed probe shows that it is faster than float32 on this machine, else None."""
    if device.type == "cuda":
        return torch.bfloat16
    layer = nn.Conv3d(32, 32, 3, padding=1).to(memory_format=torch.channels_last_3d)
    x = torch.randn(1, 32, 24, 24, 24).to(memory_format=torch.channels_last_3d)
    seconds = {}
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            layer(x)
            start = time.perf_counter()
            for _ in range(5):
                layer(x)
            seconds[enabled] = time.perf_counter() - start
    return torch.bfloat16 if seconds[True] < 0.8 * seconds[False] else None


def channels_last(thing: Any) -> Any:
    """A tensor or network in the memory format in which its convolutions, in the plane or in space, are fastest."""
    if isinstance(thing, nn.Module):
        axes = max((one.ndim for one in thing.parameters()), default=0)
    else:
        axes = thing.ndim
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return thing.to(memory_format=formats[axes]) if axes in formats else thing


class TrainingRun:
    """A run in a folder: `checkpoint.pt` to resume from, `log.csv`, and at the end averaged weights in the network.

    Args:
        network: moved to CUDA where there is one.
        draw: makes one batch (image, target) from a random generator; called in a background thread.
        loss: of the network's output and the target, a scalar.
        settings: length, rates and seed.
        watch: patients who are kept out, and when they end the training; None trains to the last step.
        folder: created where missing; a checkpoint found in it is resumed.
    """

    def __init__(
        self,
        network: nn.Module,
        draw: Callable[[np.random.Generator], Batch],
        settings: LoopSettings,
        folder: Path,
        loss: Callable[[Any, Any], torch.Tensor] = segmentation_loss,
        watch: Watch | None = None,
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = channels_last(network.to(self.device))
        self.averaged = copy.deepcopy(self.network)
        self.draw, self.settings, self.folder, self.loss = draw, settings, Path(folder), loss
        self.watch, self.best = watch, Best()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.number_type = fast_type(self.device)
        self.step = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    @property
    def is_done(self) -> bool:
        """Whether all steps are taken, or the patience of those who watch has ended."""
        stopped = self.watch is not None and self.best.misses >= self.watch.patience
        return stopped or self.step >= self.settings.steps

    @property
    def stopping(self) -> Stopping | None:
        """How a watched run has ended; None where nobody watched."""
        if self.watch is None:
            return None
        one, best = self.watch, self.best
        return Stopping(self.step, self.settings.steps, best.step, round(best.loss, 5), one.patience, one.every)

    def run(self, stop_after_seconds: float | None = None) -> bool:
        """Train to the last step, or to where it is stopped early, or until the time is up; True when it is done."""
        start = time.monotonic()
        recent: list[float] = []
        (self.folder / "settings.json").write_text(json.dumps(asdict(self.settings), indent=2))
        with ThreadPoolExecutor(max_workers=1) as pool:
            upcoming = pool.submit(self._batch, self.step)
            while not self.is_done:
                image, target = upcoming.result()
                upcoming = pool.submit(self._batch, self.step + 1)
                recent.append(self._train_step(image, target))
                self.step += 1
                measured = self._measure()
                is_last = stop_after_seconds is not None and time.monotonic() - start > stop_after_seconds
                if measured is not None or is_last or self._is_due(self.settings.save_every):
                    self._save(float(np.mean(recent)), measured, time.monotonic() - start)
                    recent.clear()
                if is_last:
                    break
        return self.is_done

    def draw_curve(self, title: str, simulated: bool = False) -> list[Path]:
        """The log as a figure in the run's folder; see curves.write_learning_curve."""
        from .curves import write_learning_curve

        best = self.best.step if self.watch is not None else None
        return write_learning_curve(self.folder / LOG, title, best, simulated)

    def final_network(self, batches: int = 60) -> nn.Module:
        """The averaged weights, of a watched run the best ones, with batch-normalization statistics measured anew, in
        evaluation mode, on the CPU."""
        network = self.averaged
        if self.watch is not None and self.best.weights:
            network.load_state_dict(self.best.weights)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d | nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None
        network.train()
        with torch.no_grad():
            for number in range(batches):
                image, _ = self._batch(CALIBRATION + number)
                network(image)
        return network.eval().cpu().float()

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps

    def _measure(self) -> float | None:
        """Loss of the averaged weights on those who watch; None where none is due.

        Each batch is normalized by itself, as in training: the statistics of the averaged network are measured at the
        end only.
        """
        if self.watch is None or not self._is_due(self.watch.every):
            return None
        losses = []
        with torch.no_grad():
            for number in range(self.watch.batches):
                image, target = self._batch(WATCHED + number, self.watch.draw)
                losses.append(float(self.loss(self._output(self.averaged, image), target)))
        self.best.note(float(np.mean(losses)), self.step, self.averaged.state_dict())
        return float(np.mean(losses))

    def _output(self, network: nn.Module, image: torch.Tensor) -> Any:
        kind = self.number_type
        with torch.autocast(self.device.type, dtype=kind or torch.bfloat16, enabled=kind is not None):
            return network(image)

    def _batch(self, step: int, draw: Callable[[np.random.Generator], Batch] | None = None) -> Batch:
        image, target = (draw or self.draw)(np.random.default_rng([self.settings.seed, step]))
        if isinstance(target, dict):
            target = {name: one.to(self.device) for name, one in target.items()}
        else:
            target = target.to(self.device)
        return channels_last(image.to(self.device)), target

    def _train_step(self, image: torch.Tensor, target: Target) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.step)
        loss = self.loss(self._output(self.network, image), target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        keep = min(self.settings.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for old, new in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                old.lerp_(new, 1.0 - keep)
        return float(loss.detach())

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        if self.watch is not None and "best" in state:
            self.best = Best(**state["best"])
        logger.info("resumed %s at step %d", self.folder, self.step)

    def _save(self, loss: float, measured: float | None, seconds: float) -> None:
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        if self.watch is not None:
            state["best"] = self.best.state()
        partial = self.folder / "checkpoint.part"
        torch.save(state, partial)
        os.replace(partial, self.folder / "checkpoint.pt")
        row = {"step": self.step, "loss": f"{loss:.5f}", "seconds_since_start": f"{seconds:.0f}"}
        told = "" if measured is None else f" validation loss {measured:.4f}"
        if self.watch is not None:
            row["validation_loss"] = "" if measured is None else f"{measured:.5f}"
        self._log(row)
        logger.info("step %d loss %.4f%s after %.0f s", self.step, loss, told, seconds)

    def _log(self, row: dict[str, Any]) -> None:
        """One more line; a log that is there keeps its columns."""
        path = self.folder / LOG
        columns, is_new = list(row), not path.exists()
        if not is_new:
            with path.open(newline="", encoding="utf-8") as stream:
                columns = next(csv.reader(stream), columns)
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore")
            if is_new:
                writer.writeheader()
            writer.writerow(row)
