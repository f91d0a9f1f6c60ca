# ruff: noqa: E402
"""The `prognosis` command with unfit input or a full disk: exit code 2, one line, and nothing written."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import nibabel
import phantoms
import SimpleITK as sitk
from cli_cases import *  # noqa: F403
from cli_cases import GRID, edit
from dicom_cases import along_z, write_series

from PrognosisLib import cli
from PrognosisLib.reporting import output

# --- unfit images -----------------------------------------------------------------------------------------------------


def nifti(folder: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path = folder / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, np.diag([3.0, 3.0, 5.0, 1.0]) if affine is None else affine), path)
    return path


def in_xyz() -> np.ndarray:
    return phantoms.scan(GRID).array.transpose(2, 1, 0)


def not_an_image(folder: Path) -> Path:
    path = folder / "scan.nii.gz"
    path.write_text("This is a letter.")
    return path


def a_letter(folder: Path) -> Path:
    path = folder / "letter.txt"
    path.write_text("Dear colleague,")
    return path


def truncated(folder: Path) -> Path:
    path = nifti(folder, in_xyz())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def truncated_uncompressed(folder: Path) -> Path:
    path = nifti(folder, in_xyz())
    short = folder / "scan.nii"
    short.write_bytes(gzip.decompress(path.read_bytes())[:5000])
    return short


def two_series(folder: Path) -> Path:
    write_series(folder / "dicom" / "one", along_z(range(0, 30, 3)), SeriesInstanceUID="1.2.3.4")
    write_series(folder / "dicom" / "two", along_z(range(0, 30, 3)), SeriesInstanceUID="1.2.3.5")
    return folder / "dicom"


def missing_slices(folder: Path) -> Path:
    paths = write_series(folder / "dicom", along_z(range(0, 36, 3)))
    for path in paths[5:7]:
        path.unlink()
    return folder / "dicom"


def empty_folder(folder: Path) -> Path:
    (folder / "dicom").mkdir()
    return folder / "dicom"


def four_dimensions(folder: Path) -> Path:
    return nifti(folder, np.stack([in_xyz()] * 2, axis=-1))


def color(folder: Path) -> Path:
    rgb = np.zeros(in_xyz().shape, dtype=np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    return nifti(folder, rgb)


def magnetic_resonance(folder: Path) -> Path:
    values = np.random.default_rng(0).gamma(2.0, 150.0, in_xyz().shape)
    return nifti(folder, values.astype(np.int16))


def not_numbers(folder: Path) -> Path:
    array = in_xyz().astype(np.float32)
    array[3, 4, 5] = np.nan
    return nifti(folder, array)


def infinite(folder: Path) -> Path:
    array = in_xyz().astype(np.float32)
    array[3, 4, 5] = np.inf
    return nifti(folder, array)


def nothing_but_nan(folder: Path) -> Path:
    return nifti(folder, np.full((20, 20, 20), np.nan, dtype=np.float32))


def zero_spacing(folder: Path) -> Path:
    path = nifti(folder, in_xyz())
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[80:84] = np.float32(0).tobytes()  # pixdim[1]
    content[252:256] = np.array([1, 0], dtype="<i2").tobytes()  # the quaternion's place counts, not the rows
    path.write_bytes(gzip.compress(bytes(content)))
    return path


def negative_spacing(folder: Path) -> Path:
    path = folder / "scan.mha"
    sitk.WriteImage(sitk.GetImageFromArray(phantoms.scan(GRID).array), path)
    content = path.read_bytes()
    assert b"ElementSpacing = 1 1 1" in content
    path.write_bytes(content.replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 1 -1"))
    return path


def scout(folder: Path) -> Path:
    return nifti(folder, in_xyz()[:, :, 18:19])


BAD_IMAGES = {
    not_an_image: "scan.nii.gz",
    a_letter: "not an image",
    truncated: "cut|truncated|incomplete|ends|damaged",
    truncated_uncompressed: "cut|truncated|incomplete|ends|short",
    two_series: "2 series|two series|several series",
    missing_slices: "lacks 2 slices",
    empty_folder: "DICOM",
    four_dimensions: "4|dimensions|volumes",
    color: "color",
    magnetic_resonance: "MR",
    not_numbers: "'scan.nii.gz' has voxels that are not numbers (NaN or infinite)",
    infinite: "NaN|infinite",
    nothing_but_nan: "NaN|infinite",
    zero_spacing: "spacing",
    negative_spacing: "spacing",
    scout: "1 slice|1 slices",
}


@pytest.mark.parametrize("make", BAD_IMAGES, ids=lambda make: make.__name__)
def test_unfit_images_are_refused_in_one_line(make, refused, tmp_path: Path):
    message = refused("--ct", make(tmp_path))
    assert any(word.lower() in message.lower() for word in BAD_IMAGES[make].split("|")), message
    assert len(message) < 400


def test_an_image_that_is_not_there(refused, tmp_path: Path):
    assert "nowhere.nii" in refused("--ct", tmp_path / "nowhere.nii")


# --- unfit segmentations, clinical values and options -----------------------------------------------------------------


def test_an_empty_segmentation_is_refused(refused, ct: Path, done: Path, tmp_path: Path):
    edited = edit(done / "segmentation.seg.nrrd", tmp_path / "edited.seg.nrrd", 0.0)
    assert "no filled segment named 'Spleen'" in refused("--ct", ct, "--segmentation", edited)


def test_a_segmentation_that_is_none_is_refused(refused, ct: Path, tmp_path: Path):
    letter = tmp_path / "edited.seg.nrrd"
    letter.write_text("Dear colleague,")
    assert "edited.seg.nrrd" in refused("--ct", ct, "--segmentation", letter)
    assert "nowhere" in refused("--ct", ct, "--segmentation", tmp_path / "nowhere.seg.nrrd")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ('{"albumin": 340}', ["albumin", "10", "70"]),
        ('{"albumin": {"value": 34, "unit": "mmol/L"}}', ["albumin", "mmol/L", "g/L"]),
        ('{"bilirubin": 1.2}', ["bilirubin", "mg/dL"]),
        ('{"albumine": 34}', ['"albumin"']),
        ('{"platlets": 110}', ['"platelets"']),
        ('{"ascites": "sligth"}', ['"slight"']),
        ('{"age": "old"}', ["age"]),
        ('{"age": NaN}', ["NaN"]),
        ('{"age": 60, "age": 70}', ["age", "twice"]),
        ('{"age": 60', ["JSON"]),
        ("[67]", ["object"]),
    ],
)
def test_unfit_clinical_values_are_refused_before_anything_is_read(values: str, words, refused, tmp_path: Path):
    file = tmp_path / "clinical.json"
    file.write_text(values)
    message = refused("--ct", tmp_path / "is-not-even-looked-at.nii", "--clinical", file)
    for word in words:
        assert word in message


def test_a_cut_off_that_is_no_volume_is_refused(refused, ct: Path):
    assert "cut-off" in refused("--ct", ct, "--cutoff-ml", "-5")


def test_a_device_that_is_not_known_is_refused(refused, ct: Path):
    assert "auto, cpu, gpu" in refused("--ct", ct, "--device", "abacus")


def test_an_output_that_is_a_file_is_refused_and_kept(refused, ct: Path, tmp_path: Path):
    file = tmp_path / "results"
    file.write_text("precious")
    assert "is a file" in refused("--ct", ct, output=file)
    assert file.read_text() == "precious"


def test_a_bundle_that_is_not_there_is_refused(refused, ct: Path, tmp_path: Path):
    assert "no model bundle" in refused("--ct", ct, "--bundle", tmp_path / "nowhere")


def test_a_tampered_bundle_is_refused(refused, ct: Path, bundle: Path, tmp_path: Path):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    weights = copy / "models" / "fine.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "SHA-256" in refused("--ct", ct, "--bundle", copy)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["lung", "--ct", "x", "--output", "y"], "lung"),
        (["spleen", "--ct", "x", "--output", "y", "--colour", "red"], "--colour"),
        (["spleen", "--output", "y"], "--ct"),
        (["spleen", "--ct", "x"], "--output"),
        (["spleen", "--ct", "x", "--output", "y", "--threads", "many"], "--threads"),
        (["simulate", "lung", "--output", "y"], "lung"),
        (["evaluate", "spleen", "--output", "y"], "--cohort"),
        (["train", "spleen", "--output", "y", "--bundle", "b"], "--from-results"),
        (["train", "spleen", "--output", "y", "--from-results", "t.csv", "--steps", "3"], "--steps"),
        (["train", "spleen", "--output", "y", "--from-results", "t.csv"], "t.csv"),
        (["evaluate", "spleen", "--output", "y", "--results", "t.csv"], "t.csv"),
        ([], "COMMAND"),
    ],
)
def test_unknown_commands_and_options_are_refused(arguments, word: str, capfd, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == cli.BAD_INPUT
    told = capfd.readouterr()
    assert told.err.count("\n") == 1
    assert word in told.err
    assert list(tmp_path.iterdir()) == []


# --- a disk that is full ----------------------------------------------------------------------------------------------


def test_a_full_disk_at_the_last_moment_leaves_nothing(refused, ct: Path, done: Path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(output.os, "rename", full)
    message = refused("--ct", ct, "--segmentation", done / "segmentation.seg.nrrd")
    assert "is full" in message


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_disk_that_takes_no_more_bytes_leaves_nothing(refused, ct: Path, done: Path):
    """Really: no file of this process may grow over 20 kB, and the scene is larger."""
    import resource
    import signal

    assert (done / "scene.mrb").stat().st_size > 40_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        refused("--ct", ct, "--segmentation", done / "segmentation.seg.nrrd")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
