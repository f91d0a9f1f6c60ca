"""All outputs of a run arrive, or none."""

from __future__ import annotations

import errno
import os

import pytest

from PrognosisLib.errors import InputError
from PrognosisLib.reporting import output
from PrognosisLib.reporting.output import OutputFolder, write_atomic


def run(target, work):
    """A run whose output `work` writes."""
    with OutputFolder(target) as folder:
        work(folder)


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("old")
    assert write_atomic(path, "größer\r\n") == path
    assert path.read_bytes() == "größer\r\n".encode()
    assert os.listdir(tmp_path) == ["results.csv"]


def test_write_atomic_keeps_the_old_file_when_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    path.write_text("old")

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output.os, "replace", full)
    with pytest.raises(InputError, match=r"is full; free some space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.csv"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_really_full_device_becomes_an_input_error(tmp_path):
    target = tmp_path / "out"

    def work(folder):
        (folder / "first.txt").write_text("written")
        with open("/dev/full", "w") as file:
            file.write("x")

    with pytest.raises(InputError, match=r"full; free some space"):
        run(target, work)
    assert os.listdir(tmp_path) == []


def test_the_message_names_the_users_folder_when_write_atomic_found_the_disk_full(tmp_path, monkeypatch):
    target = tmp_path / "out"

    def full(source, place):
        raise OSError(errno.ENOSPC, "No space left on device")

    def work(folder):
        monkeypatch.setattr(output.os, "replace", full)
        write_atomic(folder / "a.txt", "a")

    with pytest.raises(InputError) as caught:
        run(target, work)
    assert f"'{target}'" in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_new_folder_appears_only_at_the_end(tmp_path):
    target = tmp_path / "deep" / "out"
    with OutputFolder(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "sub" / "a.txt").read_text() == "a"
    assert os.listdir(tmp_path / "deep") == ["out"]


def test_existing_folder_keeps_other_files(tmp_path):
    target = tmp_path / "out"
    (target / "sub").mkdir(parents=True)
    (target / "mine.txt").write_text("mine")
    (target / "sub" / "a.txt").write_text("old")
    with OutputFolder(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text("new")
        (folder / "b.txt").write_text("b")
    assert (target / "mine.txt").read_text() == "mine"
    assert (target / "sub" / "a.txt").read_text() == "new"
    assert (target / "b.txt").read_text() == "b"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError("network failed"), KeyboardInterrupt()])
def test_a_failure_leaves_no_trace(tmp_path, error):
    def work(folder):
        (folder / "a.txt").write_text("half")
        raise error

    with pytest.raises(type(error)):
        run(tmp_path / "deep" / "out", work)
    assert os.listdir(tmp_path) == []


def test_a_move_that_fails_halfway_is_undone(tmp_path):
    target = tmp_path / "out"
    (target / "z.txt").mkdir(parents=True)  # a folder where a file should go
    (target / "z.txt" / "precious").write_text("keep")
    (target / "a.txt").write_text("old")

    def work(folder):
        (folder / "a.txt").write_text("new")
        (folder / "new").mkdir()
        (folder / "new" / "n.txt").write_text("new")
        (folder / "z.txt").write_text("new")

    with pytest.raises(InputError, match="Cannot write to"):
        run(target, work)
    assert (target / "a.txt").read_text() == "old"
    assert (target / "z.txt" / "precious").read_text() == "keep"
    assert sorted(os.listdir(target)) == ["a.txt", "z.txt"]
    assert os.listdir(tmp_path) == ["out"]


def test_target_that_is_a_file_is_refused_in_words(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file; name a folder"), OutputFolder(tmp_path / "out"):
        pass
    with pytest.raises(InputError, match="Cannot write to"), OutputFolder(tmp_path / "out" / "deeper"):
        pass


def test_errors_that_are_not_about_room_pass_through(tmp_path):
    with pytest.raises(RuntimeError, match="boom"), OutputFolder(tmp_path / "out"):
        raise RuntimeError("boom")
    assert not (tmp_path / "out").exists()


def test_a_foreign_writer_that_fails_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "NO_ROOM_BYTES", 1 << 62)
    with pytest.raises(InputError, match="is full"), OutputFolder(tmp_path / "out"):
        raise RuntimeError("itk::ERROR: writing failed")
