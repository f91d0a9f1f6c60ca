"""The worker is really killed, crashed, starved of memory and cancelled here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from PrognosisLib.errors import BundleError, Cancelled, InputError, MissingPackage, WorkerError
from PrognosisLib.pipeline import Case
from PrognosisLib.volume import Volume
from PrognosisLib.worker import Done, Failed, Progress, Worker, payload, shared_worker
from PrognosisLib.worker.process import default_executable

GOOD = "worker_pipelines:Doubling"
BAD = "worker_pipelines:Misbehaving"
HERE = Path(__file__).parent
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


def leftovers(owner: int | None = None) -> set[Path]:
    roots = {Path(tempfile.gettempdir()), Path("/dev/shm")}
    pattern = f"prognosis-worker-{owner or os.getpid()}-*"
    return {path for root in roots if root.is_dir() for path in root.glob(pattern)}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except (OSError, IndexError):
        return False


def gone_within(pids: list[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "weights").write_text("1")
    return folder


@pytest.fixture
def the_worker() -> Iterator[Worker]:
    before = leftovers()
    with Worker() as running:
        yield running
        pid = running.pid
        assert pid is None or leftovers() > before, "the check below must be able to fail"
    assert leftovers() <= before
    assert pid is None or gone_within([pid], 1.0)


def a_case(shape: tuple[int, int, int] = (20, 30, 40), **settings: object) -> Case:
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    return Case({"ct": Volume(array, np.diag([1.0, 2.0, 3.0, 1.0]), name="ct")}, settings=settings)


def run_misbehaving(the_worker: Worker, bundle: Path, act: str) -> None:
    the_worker.start_run(BAD, bundle, a_case(act=act))
    the_worker.wait()


def until_progress(the_worker: Worker, message: str) -> str:
    """Wait for the progress message that starts so."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for event in the_worker.poll():
            assert isinstance(event, Progress), event
            if event.message.startswith(message):
                return event.message
        time.sleep(0.01)
    raise AssertionError(f"no progress '{message}'")


def assert_next_run_works(the_worker: Worker, bundle: Path) -> None:
    the_worker.start_run(GOOD, bundle, a_case())
    assert the_worker.wait().value("volume") == pytest.approx((24000 - 11) * 0.006)


def test_findings_come_back_with_their_arrays(the_worker: Worker, bundle: Path) -> None:
    case = a_case((50, 60, 70))
    the_worker.start_run(GOOD, bundle, case)
    findings = the_worker.wait()
    np.testing.assert_array_equal(findings.heat_maps[0].array, 2 * case.volumes["ct"].array)
    np.testing.assert_array_equal(findings.mask("Spleen").full(), case.volumes["ct"].array > 10)
    assert findings.mask("Spleen").grid.same_as(case.volumes["ct"].grid)
    about = findings.provenance["worker"]
    assert about["pid"] == the_worker.pid != os.getpid()
    assert not about["warm"]
    if sys.platform == "linux":
        assert 10 < about["peak_memory_mb"] < 500
    assert findings.provenance["heavy"] == []
    json.dumps(findings.provenance)


def test_second_run_is_warm(the_worker: Worker, bundle: Path) -> None:
    the_worker.start_run(GOOD, bundle, a_case())
    first = the_worker.wait().provenance
    start = time.perf_counter()
    the_worker.start_run(GOOD, bundle, a_case())
    second = the_worker.wait().provenance
    assert time.perf_counter() - start < 1.0
    assert second["worker"]["pid"] == first["worker"]["pid"]
    assert second["worker"]["warm"]
    assert (second["built"], second["runs"]) == (1, 2)


def test_changed_bundle_is_loaded_anew_in_the_same_process(the_worker: Worker, bundle: Path) -> None:
    the_worker.start_run(GOOD, bundle, a_case())
    pid = the_worker.wait().provenance["worker"]["pid"]
    (bundle / "weights").write_text("22")
    the_worker.start_run(GOOD, bundle, a_case())
    after = the_worker.wait().provenance
    assert (after["built"], after["runs"], after["worker"]["pid"]) == (2, 1, pid)


def test_start_returns_at_once_and_poll_gives_progress_in_order(the_worker: Worker, bundle: Path) -> None:
    start = time.perf_counter()
    the_worker.start_run(GOOD, bundle, a_case())
    assert time.perf_counter() - start < 0.5
    events = []
    end = time.monotonic() + 20
    while the_worker.is_busy and time.monotonic() < end:
        before = time.perf_counter()
        events += the_worker.poll()
        assert time.perf_counter() - before < 0.3
        time.sleep(0.005)
    assert isinstance(events[-1], Done)
    assert [event.message for event in events[:-1]] == [f"step {step}" for step in range(5)]
    assert [event.fraction for event in events[:-1]] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert the_worker.poll() == []


def test_input_may_change_after_start(the_worker: Worker, bundle: Path) -> None:
    case = a_case()
    the_worker.start_run(GOOD, bundle, case)
    expected = 2 * case.volumes["ct"].array
    case.volumes["ct"].array[:] = 0
    np.testing.assert_array_equal(the_worker.wait().heat_maps[0].array, expected)


def test_second_start_while_busy_is_refused(the_worker: Worker, bundle: Path) -> None:
    the_worker.start_run(BAD, bundle, a_case(act="cooperate"))
    with pytest.raises(WorkerError, match="already running"):
        the_worker.start_run(GOOD, bundle, a_case())
    assert the_worker.is_busy


def test_waiting_for_nothing_is_refused(the_worker: Worker) -> None:
    with pytest.raises(WorkerError, match="start one first"):
        the_worker.wait()


def test_threads_setting_reaches_the_libraries(the_worker: Worker, bundle: Path) -> None:
    the_worker.start_run(GOOD, bundle, a_case(threads=1))
    assert the_worker.wait().provenance["threads"] == "1"


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        ("refuse", InputError, "^The image is upside down; turn it round.$"),
        ("refuse_bundle", BundleError, "^The bundle is damaged; export it again.$"),
        ("fail", WorkerError, "ZeroDivisionError: one over nothing"),
        ("import_missing", MissingPackage, "package 'a_package_that_nobody_has' is missing"),
        ("exit", WorkerError, r"exit code 3[^\n]*\nabout to leave"),
        pytest.param("segfault", WorkerError, r"SIGSEGV(.|\n)*string_at", marks=posix_only),
        pytest.param("exhaust_memory", WorkerError, "ran out of memory.*ct of 40 x 30 x 20 voxels", marks=posix_only),
    ],
)
def test_failures_name_their_cause_and_the_next_run_works(
    the_worker: Worker, bundle: Path, act: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        run_misbehaving(the_worker, bundle, act)
    assert type(caught.value) is kind
    assert not the_worker.is_busy
    assert_next_run_works(the_worker, bundle)


def test_unexpected_failure_carries_its_traceback(the_worker: Worker, bundle: Path) -> None:
    with pytest.raises(WorkerError) as caught:
        run_misbehaving(the_worker, bundle, "fail")
    assert "in fail" in caught.value.__notes__[0]


@posix_only
@pytest.mark.parametrize("act", ["sleep", "cooperate"])
def test_killed_during_a_run(the_worker: Worker, bundle: Path, act: str) -> None:
    the_worker.start_run(BAD, bundle, a_case(act=act))
    until_progress(the_worker, "misbehaving")
    first = the_worker.pid
    os.kill(first, signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"memory ran out.*40 x 30 x 20 voxels.*crop the volume"):
        the_worker.wait()
    assert_next_run_works(the_worker, bundle)
    assert the_worker.pid != first


@posix_only
def test_killed_between_runs(the_worker: Worker, bundle: Path) -> None:
    assert_next_run_works(the_worker, bundle)
    os.kill(the_worker.pid, signal.SIGKILL)
    end = time.monotonic() + 2.0
    while not the_worker._child.is_dead and time.monotonic() < end:  # all of its threads, not the first one only
        time.sleep(0.02)
    assert_next_run_works(the_worker, bundle)


@posix_only
@pytest.mark.parametrize("act", ["cooperate", "sleep", "sleep_holding_the_interpreter"])
def test_cancel_answers_within_a_second(the_worker: Worker, bundle: Path, act: str) -> None:
    the_worker.start_run(BAD, bundle, a_case(act=act))
    until_progress(the_worker, "misbehaving")
    pid = the_worker.pid
    time.sleep(0.1)
    start = time.perf_counter()
    the_worker.cancel()
    events = []
    while the_worker.is_busy and time.perf_counter() - start < 5:
        events += the_worker.poll()
        time.sleep(0.05)
    assert time.perf_counter() - start < 1.0
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, Cancelled)
    assert (the_worker.pid == pid) == (act == "cooperate")
    assert_next_run_works(the_worker, bundle)


def test_cancel_before_the_child_is_up(the_worker: Worker, bundle: Path) -> None:
    the_worker.start_run(GOOD, bundle, a_case())
    the_worker.cancel()
    with pytest.raises(Cancelled):
        the_worker.wait()
    assert_next_run_works(the_worker, bundle)


def test_progress_callback_can_cancel(the_worker: Worker, bundle: Path) -> None:
    def stop(fraction: float, message: str) -> None:
        raise Cancelled("enough")

    the_worker.start_run(BAD, bundle, a_case(act="cooperate"))
    with pytest.raises(Cancelled):
        the_worker.wait(stop)


def test_interrupted_wait_leaves_no_run(the_worker: Worker, bundle: Path) -> None:
    def interrupt(fraction: float, message: str) -> None:
        raise KeyboardInterrupt

    the_worker.start_run(BAD, bundle, a_case(act="cooperate"))
    with pytest.raises(KeyboardInterrupt):
        the_worker.wait(interrupt)
    assert not the_worker.is_busy
    assert_next_run_works(the_worker, bundle)


@posix_only
def test_whole_process_tree_is_killed(the_worker: Worker, bundle: Path) -> None:
    the_worker.start_run(BAD, bundle, a_case(act="have_a_child"))
    grandchild = int(until_progress(the_worker, "child").split()[1])
    assert is_alive(grandchild)
    the_worker.cancel()
    with pytest.raises(Cancelled):
        the_worker.wait()
    assert gone_within([grandchild], 1.0)


@posix_only
def test_launcher_in_between_works_and_goes_too(tmp_path: Path, bundle: Path) -> None:
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    with Worker(str(launcher)) as the_worker:
        assert_next_run_works(the_worker, bundle)
        os.kill(the_worker.pid, 0)
        the_worker.start_run(BAD, bundle, a_case(act="sleep"))
        until_progress(the_worker, "misbehaving")
        os.kill(the_worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="memory ran out"):
            the_worker.wait()
        assert_next_run_works(the_worker, bundle)
        pids = [the_worker.pid, the_worker._child._process.pid]
        assert pids[0] != pids[1]
    assert gone_within(pids, 1.0)


def test_interpreter_that_cannot_start(bundle: Path) -> None:
    before = leftovers()
    with Worker("/nowhere/python") as the_worker, pytest.raises(WorkerError, match="cannot be started"):
        the_worker.start_run(GOOD, bundle, a_case())
    assert leftovers() <= before


@posix_only
def test_interpreter_that_dies_at_once(bundle: Path) -> None:
    before = leftovers()
    with Worker("/bin/false") as the_worker:
        the_worker.start_run(GOOD, bundle, a_case())
        with pytest.raises(WorkerError, match="exit code 1"):
            the_worker.wait()
    assert leftovers() <= before


def test_full_disk_is_said(the_worker: Worker, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(payload, "save", no_space)
    with pytest.raises(WorkerError, match=r"no room.*40 x 30 x 20 voxels.*No space left"):
        the_worker.start_run(GOOD, bundle, a_case())
    assert not the_worker.is_busy


def test_stderr_is_bounded(the_worker: Worker, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    the_worker.start_run(BAD, bundle, a_case(act="chatter"))
    the_worker.wait()
    time.sleep(1.5)
    assert the_worker._child._stderr.stat().st_size < 2**20


@posix_only
@pytest.mark.parametrize("end", ["kill", "exit"])
def test_child_ends_with_its_parent(bundle: Path, end: str) -> None:
    script = (
        "import sys, time, test_worker as t\n"
        "from pathlib import Path\n"
        "worker = t.shared_worker()\n"
        "worker.start_run(t.BAD, Path(sys.argv[1]), t.a_case(act='sleep'))\n"
        "t.until_progress(worker, 'misbehaving')\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60 if sys.argv[2] == 'kill' else 0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *(p for p in sys.path if p)])}
    command = [sys.executable, "-c", script, str(bundle), end]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert end == "exit" or (is_alive(child) and leftovers(parent.pid))
        if end == "kill":
            parent.kill()
        assert parent.wait(10) == (-9 if end == "kill" else 0)
    assert gone_within([child], 3.0)
    assert not leftovers(parent.pid)


def test_collected_worker_ends_its_child(bundle: Path) -> None:
    before = leftovers()
    lost = Worker()
    assert_next_run_works(lost, bundle)
    pid = lost.pid
    del lost
    assert gone_within([pid], 1.0)
    assert leftovers() <= before


def test_there_is_one_shared_worker() -> None:
    assert shared_worker() is shared_worker()


def test_parent_needs_no_heavy_library() -> None:
    script = "import sys, PrognosisLib.worker; print([m for m in ('torch', 'SimpleITK', 'scipy') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    out = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_slicer_runs_the_python_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = tmp_path / "bin" / "PythonSlicer"
    beside.parent.mkdir()
    beside.write_text("")
    beside.chmod(0o755)
    monkeypatch.setitem(sys.modules, "slicer", object())
    monkeypatch.setenv("SLICER_HOME", str(tmp_path))
    if sys.platform != "win32":
        assert default_executable() == str(beside)
    monkeypatch.delitem(sys.modules, "slicer")
    assert default_executable() == sys.executable


@pytest.mark.parametrize("order", ["C", "F", "strided", "subclass"])
def test_payload_keeps_arrays_out_of_the_pickle(tmp_path: Path, order: str) -> None:
    array = np.random.default_rng(0).normal(size=(60, 50, 40))
    sent = {
        "C": array,
        "F": np.asfortranarray(array),
        "strided": array[::-1, ::2, ::3],
        "subclass": array.view(np.memmap),
    }[order]
    path = payload.save({"array": sent, "small": np.arange(3), "text": "ä"}, [tmp_path])
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        sizes = json.loads(stream.read(length))
    assert sizes[0] < 2000
    assert sizes[1:] == [sent.nbytes]
    got = payload.load(path)
    assert type(got["array"]) is np.ndarray
    np.testing.assert_array_equal(got["array"], sent)
    got["array"][0, 0, 0] = 7
    assert got["text"] == "ä"
    assert not path.exists()
