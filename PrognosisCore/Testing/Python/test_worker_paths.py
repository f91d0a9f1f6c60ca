"""A module that is added after the worker was started is found: the worker starts again with the new import path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from PrognosisLib.pipeline import Case
from PrognosisLib.volume import Volume
from PrognosisLib.worker import Worker


def test_a_module_added_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, added = tmp_path / "bundle", tmp_path / "added"
    bundle.mkdir()
    added.mkdir()
    (added / "added_pipeline.py").write_text("from worker_pipelines import Doubling\n\n\nclass Added(Doubling): ...\n")
    case = Case({"ct": Volume(np.zeros((4, 5, 6), np.int16), np.eye(4))})
    with Worker() as worker:
        worker.start_run("worker_pipelines:Doubling", bundle, case)
        worker.wait()
        first = worker.pid
        with monkeypatch.context() as here:
            here.syspath_prepend(added)
            worker.start_run("added_pipeline:Added", bundle, case)
            assert worker.wait().heat_maps
            second = worker.pid
            assert second != first
        worker.start_run("worker_pipelines:Doubling", bundle, case)  # a folder less needs no new process
        assert worker.wait().provenance["worker"]["pid"] == second
