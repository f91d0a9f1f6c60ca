# ruff: noqa: E402
"""SpleenVolumeLogic from Slicer's console with the shipped networks: a node in, findings and nodes out."""

from __future__ import annotations

import pytest

from PrognosisLib import headless

headless.start()

import slicer
from trained import needs_bundle, simulated

from PrognosisLib import scene
from PrognosisLib.findings import SIMULATED


@pytest.fixture
def logic():
    slicer.mrmlScene.Clear(0)
    headless.loadModule("SpleenVolume")
    from SpleenVolume import SpleenVolumeLogic

    made = SpleenVolumeLogic()
    yield made
    made.worker.close()
    slicer.mrmlScene.Clear(0)


@needs_bundle
def test_a_simulated_patient_from_node_to_nodes(logic):
    volume, truth = simulated()
    node = scene.fromVolume(volume)
    clinical = {"age": 67, "sex": "male", "bilirubin": {"value": 1.2, "unit": "mg/dL"}, "albumin": 34, "platelets": 90}
    result = logic.process(node, clinical, {"cutoff_mL": 532})
    true_ml = truth.sum() * volume.grid.voxel_volume_ml
    assert result.findings.value("spleen_volume") == pytest.approx(true_ml, rel=0.06)
    assert result.findings.value("spleen_group") == "low"
    assert isinstance(result.findings.value("albi"), float)
    risk = result.findings.measurement("survival_12_months")
    assert SIMULATED in risk.note
    assert 0 < risk.interval.lower < risk.value < risk.interval.upper < 100
    masks = scene.toMasks(result.nodes.segmentation, node)
    assert masks["Spleen"].visible
    assert not masks["Liver"].visible
    assert result.nodes.table.GetNumberOfRows() == len(result.findings.measurements)
    assert result.nodes.plotCharts
    again = logic.process(node, clinical, {"cutoff_mL": 532})
    assert again.findings.measurements == result.findings.measurements
    assert again.nodes.segmentation is result.nodes.segmentation


@needs_bundle
def test_a_pelvis_gives_a_flag_and_no_segment(logic):
    node = scene.fromVolume(simulated(coverage="pelvis")[0])
    result = logic.process(node)
    assert [flag.key for flag in result.findings.flags] == ["no_spleen"]
    assert result.findings.value("spleen_volume") is None
    assert result.nodes.segmentation is None or scene.findSegmentID(result.nodes.segmentation, "Spleen") is None


def test_the_module_ships_its_own_logic(logic):
    from PrognosisLib.systems import SYSTEMS

    assert logic.system is SYSTEMS["spleen"]
    assert logic.currentBundle == SYSTEMS["spleen"].default_bundle()
    assert logic.checkSettings({"cutoff_mL": 532})["device"] == "auto"
