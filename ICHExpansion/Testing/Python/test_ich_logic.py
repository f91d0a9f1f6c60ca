# ruff: noqa: E402
"""ICHExpansionLogic from the console with the shipped bundle: nodes of the demo case in, findings and nodes out."""

from __future__ import annotations

import unittest

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import slicer

from ICHExpansionLib.demo import CLINICAL, FIRST_ML, LATER_ML, scans
from ICHExpansionLib.labels import HEMATOMA, VENTRICULAR
from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED
from PrognosisLib.systems import SYSTEMS

SYSTEM = SYSTEMS["ich"]
needs_bundle = pytest.mark.skipif(
    not (SYSTEM.default_bundle() / "configs" / "metadata.json").is_file(), reason="the bundle is not in this checkout"
)


@pytest.fixture
def logic():
    slicer.mrmlScene.Clear(0)
    headless.loadModule("ICHExpansion")
    from ICHExpansion import ICHExpansionLogic

    made = ICHExpansionLogic()
    yield made
    made.worker.close()
    headless.unloadModule("ICHExpansion")
    slicer.mrmlScene.Clear(0)


@pytest.fixture(scope="module")
def heads():
    """First scan and follow-up of the demo case with their truth, on large pixels."""
    return scans(max_size=128)


@pytest.fixture
def nodes(logic, heads):
    first, later = heads
    return {"ct": scene.fromVolume(first.volume("CT")), "followup": scene.fromVolume(later.volume("Later"))}


@needs_bundle
def test_both_scans_of_the_demo_from_nodes_to_nodes(logic, nodes):
    result = logic.process(nodes, CLINICAL)
    found = result.findings
    assert found.value("hematoma_volume") == pytest.approx(FIRST_ML, rel=0.15)
    assert found.value("growth") == pytest.approx(LATER_ML - FIRST_ML, abs=5.0)
    assert found.value("expansion") == "yes"
    assert found.value("side") == "right"
    risk = found.measurement("integrated_expansion")
    assert SIMULATED in risk.note
    assert 0 < risk.interval.lower < risk.value < risk.interval.upper < 100
    masks = scene.toMasks(result.nodes.segmentation, nodes["ct"])
    assert set(masks) == set(SYSTEM.segments)
    assert not masks["Hematoma at follow-up"].visible
    assert result.nodes.table.GetNumberOfRows() == len(found.measurements)
    again = logic.measure(nodes, result.nodes.segmentation, CLINICAL, {"expansion_ml": 30.0, "expansion_percent": None})
    assert again.findings.value("expansion") == "no"
    assert again.findings.value("hematoma_volume") == found.value("hematoma_volume")


@needs_bundle
def test_a_drawn_hematoma_is_what_the_demo_says(logic, nodes, heads):
    """The truth as a person would draw it: no network runs, so there is no DL score."""
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
    drawn.CreateDefaultDisplayNodes()
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(nodes["ct"])
    for label, name in ((HEMATOMA, "Hematoma"), (VENTRICULAR, "Intraventricular hemorrhage")):
        segmentID = drawn.GetSegmentation().AddEmptySegment("", name)
        mask = (heads[0].labels == label).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, drawn, segmentID, nodes["ct"])
    found = logic.measure(nodes["ct"], drawn, CLINICAL).findings
    assert found.value("hematoma_volume") == pytest.approx(FIRST_ML, rel=0.1)
    assert found.value("side") == "right"
    assert found.value("island_sign") == found.value("black_hole_sign") == "present"
    assert found.value("nag") == 3
    assert isinstance(found.value("clinical_expansion"), float)
    assert "run the segmentation" in found.measurement("integrated_expansion").note


@needs_bundle
def test_a_definition_without_a_limit_is_refused(logic, nodes):
    with pytest.raises(InputError, match="no definition without a limit"):
        logic.process(nodes, settings={"expansion_ml": None, "expansion_percent": None})


def test_the_module_ships_its_own_logic(logic):
    assert logic.system is SYSTEM
    assert logic.currentBundle == SYSTEM.default_bundle()
    assert logic.checkSettings({"expansion_operator": ">="})["expansion_ml"] == 6.0


def test_the_modules_own_test_runs(logic):
    """With the bundle that ships; without it, or without its runtime, the self test skips and says why."""
    if SYSTEM.default_bundle().joinpath("configs", "metadata.json").is_file():
        slicer.selfTests["ICHExpansion"]()
    else:
        with pytest.raises(unittest.SkipTest, match="bundle"):
            slicer.selfTests["ICHExpansion"]()
