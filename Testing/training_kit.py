"""What the tests of trainings share: simulation in this process, and runs that end quickly."""

from __future__ import annotations

import torch

from PrognosisLib.learning.training import TrainingRun


class Inline:
    """A pool of one process: this one."""

    def __init__(self, _count: int) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None: ...

    def map(self, function, *jobs, chunksize: int = 1):
        return map(function, *jobs)


class QuickRun(TrainingRun):
    """Normalization from two batches."""

    def final_network(self, batches: int = 2) -> torch.nn.Module:
        return super().final_network(2)
