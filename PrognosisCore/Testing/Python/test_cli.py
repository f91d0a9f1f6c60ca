# ruff: noqa: E402
"""The `prognosis` command in this process: files in, all files out; or exit code 2, one line, and nothing written."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import nibabel
import phantoms
import SimpleITK as sitk
import slicer
from test_dicom import along_z, write_series

from PrognosisLib import cli
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.images.writers import write_volume
from PrognosisLib.reporting import output
from PrognosisLib.systems import SYSTEMS

ALL_FILES = {"scene.mrb", "segmentation.seg.nrrd", "results.csv", "provenance.json", "report.html"}
COLUMNS = ["quantity", "value", "unit", "lower", "upper", "method", "note"]
GRID = phantoms.axial_grid((3.0, 3.0, 5.0))
CLINICAL = {"age": 67, "sex": "male", "bilirubin": {"value": 1.2, "unit": "mg/dL"}, "albumin": 34, "platelets": 110}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantoms.threshold_bundle(tmp_path_factory.mktemp("cli") / "bundle")


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_volume(phantoms.scan(GRID), tmp_path_factory.mktemp("ct") / "ct.nii.gz")


@pytest.fixture(scope="module")
def done(bundle: Path, ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole run."""
    folder = tmp_path_factory.mktemp("done")
    clinical = folder / "clinical.json"
    clinical.write_text(json.dumps(CLINICAL))
    arguments = ["--clinical", clinical, "--cutoff-ml", 200, "--output", folder / "out"]
    assert run("spleen", "--ct", ct, "--bundle", bundle, *arguments) == cli.DONE
    return folder / "out"


def run(*arguments: object) -> int:
    return cli.main([str(one) for one in arguments])


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as stream:
        return {row["quantity"]: row for row in csv.DictReader(stream)}


@pytest.fixture
def refused(tmp_path: Path, bundle: Path, capfd: pytest.CaptureFixture[str]):
    """Run the spleen command; it must end with code 2 and one line, and leave the output's folder as it was."""

    def check(*arguments: object, output: Path | None = None) -> str:
        place = tmp_path / "place"
        place.mkdir(exist_ok=True)
        before = sorted(place.rglob("*"))
        capfd.readouterr()
        options = [] if "--bundle" in arguments else ["--bundle", bundle]
        code = run("spleen", *arguments, *options, "--output", output or place / "out")
        told = capfd.readouterr()
        assert code == cli.BAD_INPUT, told.err
        assert told.out == ""
        assert told.err.startswith("prognosis: ")
        assert told.err.count("\n") == 1, told.err
        assert told.err.endswith("\n")
        assert "Traceback" not in told.err
        assert sorted(place.rglob("*")) == before
        return told.err

    return check


# --- the whole way ----------------------------------------------------------------------------------------------------


def test_a_run_writes_exactly_the_files_that_are_promised(done: Path):
    assert {path.name for path in done.iterdir()} == ALL_FILES
    assert not [path for path in done.parent.iterdir() if path.name.startswith(".")]


def test_the_table_has_the_promised_columns_and_the_right_volume(done: Path):
    with (done / "results.csv").open(newline="", encoding="utf-8") as stream:
        assert next(csv.reader(stream)) == COLUMNS
    rows = rows_of(done)
    volume = next(row for name, row in rows.items() if name in ("spleen_volume", "Spleen volume"))
    assert float(volume["value"]) == pytest.approx(phantoms.SPLEEN.volume_ml, rel=0.015)
    assert volume["unit"] == "mL"
    assert float(volume["lower"]) < phantoms.SPLEEN.volume_ml < float(volume["upper"])
    assert any(row["value"] == "high" for row in rows.values())
    assert any("simulated cohort" in row["note"] for row in rows.values())


def test_provenance_tells_how_to_run_it_again(done: Path, ct: Path, bundle: Path):
    told = json.loads((done / "provenance.json").read_text())
    import hashlib

    assert told["inputs"]["ct"] == {"name": "ct.nii.gz", "sha256": hashlib.sha256(ct.read_bytes()).hexdigest()}
    assert told["settings"]["cutoff_mL"] == 200
    assert told["clinical"] == CLINICAL
    assert told["bundle"]["name"] == Bundle.load(bundle, "spleen").metadata["name"]
    assert told["device"] == "CPU (ONNX Runtime)"
    assert {"coarse", "fine", "paste", "measure"} <= set(told["seconds"])


def test_the_same_run_gives_the_same_table_and_masks(done: Path, bundle: Path, ct: Path, tmp_path: Path):
    clinical = tmp_path / "clinical.json"
    clinical.write_text(json.dumps(CLINICAL))
    options = ["--bundle", bundle, "--clinical", clinical, "--cutoff-ml", 200]
    assert run("spleen", "--ct", ct, *options, "--output", tmp_path / "again") == cli.DONE
    assert (tmp_path / "again" / "results.csv").read_bytes() == (done / "results.csv").read_bytes()
    first, second = (
        sitk.GetArrayFromImage(sitk.ReadImage(folder / "segmentation.seg.nrrd"))
        for folder in (done, tmp_path / "again")
    )
    np.testing.assert_array_equal(first, second)


def test_the_saved_scene_holds_this_patient_only(bundle: Path, ct: Path, tmp_path: Path):
    """Also when another patient was run in the same process before."""
    for name in ("first", "second"):
        assert run("spleen", "--ct", ct, "--bundle", bundle, "--output", tmp_path / name) == cli.DONE
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "second" / "scene.mrb"))
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 1
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    slicer.mrmlScene.Clear(0)


def edit(segmentation: Path, target: Path, factor: float) -> Path:
    """The segmentation file with the spleen's lower slices erased, so that about `factor` of it is left."""
    image = sitk.ReadImage(segmentation)
    labels = sitk.GetArrayFromImage(image)
    keys = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    number = next(key.split("_")[0] for key, value in keys.items() if key.endswith("_Name") and value == "Spleen")
    label = int(keys[f"{number}_LabelValue"])
    layer = labels if labels.ndim == 3 else labels[..., int(keys[f"{number}_Layer"])]
    spleen = layer == label
    sizes = np.cumsum(spleen.sum(axis=(1, 2)))
    cut = int(np.searchsorted(sizes, (1.0 - factor) * sizes[-1])) + 1
    layer[:cut][spleen[:cut]] = 0
    edited = sitk.GetImageFromArray(labels, isVector=labels.ndim == 4)
    edited.CopyInformation(image)
    for key, value in keys.items():
        edited.SetMetaData(key, value)
    sitk.WriteImage(edited, target)
    return target


def test_an_edited_segmentation_is_measured_as_it_is(done: Path, bundle: Path, ct: Path, tmp_path: Path):
    edited = edit(done / "segmentation.seg.nrrd", tmp_path / "edited.seg.nrrd", 0.5)
    options = ["--bundle", bundle, "--segmentation", edited, "--output", tmp_path / "out"]
    assert run("spleen", "--ct", ct, *options) == cli.DONE
    assert {path.name for path in (tmp_path / "out").iterdir()} == ALL_FILES
    before, after = rows_of(done), rows_of(tmp_path / "out")
    (key,) = [name for name in before if name in ("spleen_volume", "Spleen volume")]
    left = float(after[key]["value"]) / float(before[key]["value"])
    assert 0.3 < left < 0.55
    image = sitk.ReadImage(edited)
    labels = sitk.GetArrayFromImage(image)
    layer = labels if labels.ndim == 3 else labels[..., 0]
    counted = max(np.count_nonzero(layer == label) for label in (1, 2))
    assert counted > 0
    assert "network's own uncertainty" in before[key]["method"]
    assert "surface area" in after[key]["method"]
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert provenance["inputs"]["segmentation"]["name"] == "edited.seg.nrrd"


def test_an_unedited_segmentation_measures_the_same(done: Path, bundle: Path, ct: Path, tmp_path: Path):
    options = ["--bundle", bundle, "--segmentation", done / "segmentation.seg.nrrd", "--output", tmp_path / "out"]
    assert run("spleen", "--ct", ct, *options) == cli.DONE
    before, after = rows_of(done), rows_of(tmp_path / "out")
    (key,) = [name for name in before if name in ("spleen_volume", "Spleen volume")]
    assert after[key] == before[key]


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


# --- simulate, train, evaluate ----------------------------------------------------------------------------------------


@pytest.fixture
def coarse_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated scans on a coarse grid, to save the tests' time; everything else as the user has it."""
    from SpleenVolumeLib import patients

    monkeypatch.setattr(patients, "simulate_abdomen", partial(patients.simulate_abdomen, spacing=(7.0, 7.0, 7.0)))
    monkeypatch.setattr(patients, "TRAINING_SPACING_MM", 7.0)


def test_simulate_writes_the_same_files_twice_which_evaluate_and_train_accept(
    coarse_simulation: None, bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    cohorts = [tmp_path / name for name in ("one", "two")]
    for folder in cohorts:
        assert run("simulate", "spleen", "--cases", 2, "--seed", 5, "--output", folder) == cli.DONE
    listed = [sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()) for folder in cohorts]
    assert listed[0] == listed[1]
    names = {str(path) for path in listed[0]}
    assert names == {"cohort.csv"} | {
        f"simulated_000{n}/{name}" for n in (5, 6) for name in ("ct.nii.gz", "labels.nii.gz", "clinical.json")
    }
    for name in listed[0]:
        assert (cohorts[0] / name).read_bytes() == (cohorts[1] / name).read_bytes(), name
    labels = sitk.GetArrayFromImage(sitk.ReadImage(cohorts[0] / "simulated_0005" / "labels.nii.gz"))
    assert np.count_nonzero(labels == 1) > 50

    cohort, made = cohorts[0] / "cohort.csv", tmp_path / "bundle"
    options = ["--steps", 1, "--simulated", 0, "--risk-patients", 300, "--threads", 1, "--output", made]
    assert run("train", "spleen", "--cohort", cohort, *options) == cli.DONE
    loaded = Bundle.load(made, "spleen")
    assert loaded.is_simulated
    assert loaded.is_part_simulated("segmentation")
    assert loaded.json("survival")["n"] == 300
    assert "Nothing was held out" in loaded.card
    networks = SYSTEMS["spleen"].make_pipeline(made).load_networks()
    assert networks["coarse"](np.zeros((1, 1, 16, 16, 16), dtype=np.float32)).shape == (1, 3, 16, 16, 16)

    report = tmp_path / "figures"
    assert run("evaluate", "spleen", "--cohort", cohort, "--bundle", bundle, "--output", report) == cli.DONE
    rows = list(csv.DictReader((report / "cases.csv").open()))
    assert [row["case"] for row in rows] == ["simulated_0005", "simulated_0006"]
    assert all(0.0 <= float(row["spleen_dice"]) <= 1.0 for row in rows)
    figures = json.loads((report / "summary.json").read_text())
    assert figures["spleen"]["n"] == 2
    assert figures["bundle"]["sha256"] == Bundle.load(bundle, "spleen").identity["sha256"]
    capfd.readouterr()


@pytest.fixture
def handed_on(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command hands to the systems' `train`, which do nothing."""
    calls: list[dict[str, Any]] = []
    for system in SYSTEMS.values():
        monkeypatch.setattr(system.library("workbench"), "train", lambda **options: calls.append(options) or [])
    return calls


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_options_of_training_that_are_left_out_are_the_systems_own(system: str, handed_on, tmp_path: Path):
    assert run("train", system, "--output", tmp_path / "made") == cli.DONE
    assert handed_on == [{"output": tmp_path / "made", "cohort": None}]


def test_options_of_training_are_handed_on(handed_on, tmp_path: Path):
    given = {"steps": 7, "simulated": 0, "seed": 3, "validation": "a,b", "threads": 2, "risk_patients": 90}
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert run("train", "ich", "--output", tmp_path / "made", *options) == cli.DONE
    assert handed_on == [{"output": tmp_path / "made", "cohort": None, **given}]


def test_the_help_of_training_says_whose_defaults_hold(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    told = " ".join(capfd.readouterr().out.split())
    assert told.count("(default: the system's own)") == 6
