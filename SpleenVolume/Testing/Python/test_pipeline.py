"""The shipped networks on simulated scans: volume, place, flags, every orientation; and both runtimes alike."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import phantoms
import pytest
from trained import SHARED, dice, findings_of, full, needs_bundle, simulated, trained_pipeline

from PrognosisLib.bundles.backends import OnnxNetwork, TorchNetwork
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case, Pipeline, Stopwatch, run, silent
from PrognosisLib.volume import Volume
from SpleenVolumeLib import network
from SpleenVolumeLib.network import COARSE, FINE
from SpleenVolumeLib.pipeline import SpleenPipeline, SpleenSettings, default_settings
from SpleenVolumeLib.segmentation import segment_spleen


@pytest.fixture(scope="module")
def thresholds(tmp_path_factory: pytest.TempPathFactory) -> SpleenPipeline:
    return SpleenPipeline(phantoms.threshold_bundle(tmp_path_factory.mktemp("pipeline") / "bundle"))


def centroid(mask: np.ndarray, volume: Volume) -> np.ndarray:
    return volume.grid.to_ras(np.argwhere(mask)).mean(axis=0)


# --- with networks that threshold -------------------------------------------------------------------------------------


def test_a_run_gives_masks_rows_flags_and_where_they_came_from(thresholds: SpleenPipeline):
    assert isinstance(thresholds, Pipeline)
    volume = phantoms.scan(phantoms.axial_grid((3.0, 3.0, 4.0)))
    told: list[float] = []
    found = run(
        thresholds,
        Case({"ct": volume}, settings=default_settings()),
        lambda fraction, message: told.append(fraction),
    )
    assert found.value("spleen_volume") == pytest.approx(phantoms.SPLEEN.volume_ml, rel=0.015)
    assert found.value("liver_volume") == pytest.approx(phantoms.LIVER.volume_ml, rel=0.02)
    assert found.value("spleen_hu_mean") == pytest.approx(phantoms.SPLEEN_HU, abs=1)
    axial, length = (found.value(key) for key in ("axial_diameter", "craniocaudal_length"))
    assert axial == pytest.approx(2 * phantoms.SPLEEN.radii[1], abs=4.5)
    assert length == pytest.approx(2 * phantoms.SPLEEN.radii[2], abs=4.5)
    assert {mask.name for mask in found.masks} == {"Spleen", "Liver"}
    assert set(found.provenance["seconds"]) == {"check", "load networks", "coarse", "fine", "paste", "measure"}
    assert found.provenance["bundle"] == thresholds.bundle.identity
    assert told == sorted(told)


def test_networks_are_loaded_once_for_a_device(thresholds: SpleenPipeline):
    first = thresholds.load_networks(SpleenSettings(threads=1))
    assert thresholds.load_networks(SpleenSettings(threads=1)) is first
    assert thresholds.load_networks(SpleenSettings(threads=2)) is not first


def test_measuring_loads_no_network(thresholds: SpleenPipeline):
    fresh = SpleenPipeline(thresholds.bundle.path)
    volume = phantoms.scan(phantoms.axial_grid((4.0, 4.0, 4.0)))
    case = Case({"ct": volume}, settings=default_settings())
    masks = {mask.name: mask for mask in thresholds.segment(case).masks}
    assert fresh.measure(case, masks).value("spleen_volume") == masks["Spleen"].voxel_volume_ml
    assert fresh._networks == {}


def test_no_spleen_is_said_and_nothing_is_measured(thresholds: SpleenPipeline):
    volume = phantoms.scan(phantoms.axial_grid((4.0, 4.0, 4.0)), spleens=())
    volume.array[0, 0, 0] = -1000
    assert_no_spleen(run(thresholds, Case({"ct": volume}, settings=default_settings())))


def test_a_spleen_cut_by_the_scan_is_flagged_and_called_a_lower_bound(thresholds: SpleenPipeline):
    volume = phantoms.scan(phantoms.axial_grid((3.0, 3.0, 1.0), low=-60, high=41))
    found = run(thresholds, Case({"ct": volume}, settings=default_settings()))
    assert "touches_edge" in [flag.key for flag in found.flags]
    assert "lower bound" in found.measurement("spleen_volume").note
    assert found.measurement("liver_volume") is None


@pytest.mark.parametrize("settings", [{"colour": "red"}, {"cutoff": 532}])
def test_settings_that_are_not_known_are_an_error(thresholds: SpleenPipeline, settings):
    with pytest.raises(TypeError, match=next(iter(settings))):
        thresholds.segment(Case({"ct": phantoms.scan(phantoms.axial_grid())}, settings=settings))


def test_an_image_that_is_no_ct_is_refused(thresholds: SpleenPipeline):
    bright = Volume(np.random.default_rng(0).integers(0, 900, (30, 30, 30)).astype(np.int16), 4.0 * np.eye(4))
    bright.ijk_to_ras[3, 3] = 1.0
    with pytest.raises(InputError, match="MR"):
        thresholds.segment(Case({"ct": bright}, settings=default_settings()))


def assert_no_spleen(found: Findings) -> None:
    assert [flag.key for flag in found.flags] == ["no_spleen"]
    assert found.flags[0].severity == "error"
    assert found.mask("Spleen") is None
    assert not [row for row in found.measurements if row.group in ("Spleen size", "2D surrogates", "Risk")]
    assert found.curves == ()
    assert "No spleen was found" in found.summary


# --- the shipped networks ---------------------------------------------------------------------------------------------


@cache
def golden() -> Findings:
    return findings_of(simulated()[0])


@needs_bundle
def test_the_golden_patient():
    """Volume, place and border on one simulated scan, with room for the next training."""
    volume, truth = simulated()
    found = golden()
    mask = full(found.mask("Spleen"), volume)
    true_ml = np.count_nonzero(truth) * volume.grid.voxel_volume_ml
    assert true_ml == pytest.approx(300, rel=0.03)
    assert found.value("spleen_volume") == pytest.approx(true_ml, rel=0.06)
    assert dice(mask, truth) > 0.94
    assert np.linalg.norm(centroid(mask, volume) - centroid(truth, volume)) < 2.0
    assert found.mask("Spleen").confidence > 0.9
    assert found.value("liver_volume") == pytest.approx(1500, rel=0.1)
    interval = found.measurement("spleen_volume").interval
    assert interval.lower < found.value("spleen_volume") < interval.upper
    assert interval.upper - interval.lower < 0.5 * true_ml
    assert not {"touches_edge", "no_spleen", "laterality", "unusual_shape"} & {flag.key for flag in found.flags}
    again = findings_of(volume)
    assert again.mask("Spleen").checksum == found.mask("Spleen").checksum
    assert again.measurements == found.measurements


@needs_bundle
@pytest.mark.parametrize("flips", [(0,), (1, 2), (0, 1, 2)])
def test_a_scan_stored_the_other_way_round_gives_the_same_volume(flips: tuple[int, ...]):
    volume, _ = simulated()
    expected = golden()
    matrix = volume.ijk_to_ras.copy()
    for axis in flips:
        column = 2 - axis
        matrix[:3, 3] += matrix[:3, column] * (volume.array.shape[axis] - 1)
        matrix[:3, column] *= -1
    turned = Volume(np.ascontiguousarray(np.flip(volume.array, flips)), matrix)
    found = findings_of(turned)
    assert found.value("spleen_volume") == pytest.approx(expected.value("spleen_volume"), rel=0.02)
    back = np.flip(full(found.mask("Spleen"), turned), flips)
    assert dice(back, full(expected.mask("Spleen"), volume)) > 0.98


@needs_bundle
def test_a_sagittal_stack_gives_the_same_volume():
    volume, _ = simulated()
    matrix = volume.ijk_to_ras[:, [1, 2, 0, 3]]
    turned = Volume(np.ascontiguousarray(volume.array.transpose(2, 0, 1)), matrix)
    expected = golden()
    assert findings_of(turned).value("spleen_volume") == pytest.approx(expected.value("spleen_volume"), rel=0.02)


@needs_bundle
def test_a_pelvis_has_no_spleen():
    assert_no_spleen(findings_of(simulated(coverage="pelvis")[0]))


@needs_bundle
def test_a_scan_that_ends_in_the_spleen_is_flagged():
    volume, truth = simulated()
    heights = np.flatnonzero(truth.any(axis=(1, 2)))
    cut = (slice(0, int(heights.mean()) + 1), slice(None), slice(None))
    part = Volume(volume.array[cut], volume.ijk_to_ras)
    found = findings_of(part)
    assert "touches_edge" in [flag.key for flag in found.flags]
    assert dice(full(found.mask("Spleen"), part), truth[cut]) > 0.9


@needs_bundle
def test_runtimes_agree_on_a_simulated_scan():
    assert_runtimes_agree(simulated()[0])


def assert_runtimes_agree(volume: Volume) -> None:
    bundle = trained_pipeline().bundle
    masks = []
    for kind in ("onnx", "torch"):
        networks = {
            stage.name: OnnxNetwork(bundle, stage.name, 1)
            if kind == "onnx"
            else TorchNetwork(bundle, stage.name, lambda stage=stage: network.build(stage), "cpu")
            for stage in (COARSE, FINE)
        }
        found = segment_spleen(volume, networks, 1.0, silent, Stopwatch())
        masks.append({mask.name: mask.full().astype(bool) for mask in found})
    assert masks[0].keys() == masks[1].keys() == {"Spleen", "Liver"}
    for name in masks[0]:
        assert dice(masks[0][name], masks[1][name]) >= 0.999


# --- real scans -------------------------------------------------------------------------------------------------------


def shared(name: str):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"../shared/data/{name} is not on this machine")
    return path


@needs_bundle
@pytest.mark.real
def test_runtimes_agree_on_a_real_scan():
    assert_runtimes_agree(read_volume(shared("abdomen-ct/totalsegmentator/example_ct.nii.gz")))


@needs_bundle
@pytest.mark.real
def test_a_real_scan_gives_what_another_network_found():
    """TotalSegmentator's own prediction on its example is no truth, but two networks that agree are seldom wrong.

    It covers the scan's top 30 slices, whatever its header says: only there its organs have organs' densities.
    """
    volume = read_volume(shared("abdomen-ct/totalsegmentator/example_ct.nii.gz"))
    labels = read_volume(shared("abdomen-ct/totalsegmentator/example_seg.nii.gz"), "labels")
    found = full(findings_of(volume).mask("Spleen"), volume)
    assert labels.array.shape[1:] == volume.array.shape[1:]
    assert dice(found[-len(labels.array) :], labels.array == 1) > 0.9


@needs_bundle
@pytest.mark.real
def test_a_real_head_has_no_spleen():
    volume = read_volume(shared("head-ct/ge-plain"))
    assert_no_spleen(findings_of(replace(volume, name="head")))
