"""What every bundle's metadata says about its training."""

from __future__ import annotations

import json
import platform
from importlib import metadata as packages

import pytest

from PrognosisLib.bundles.facts import training_facts

RECORD = {"command": "prognosis train spleen --output made", "seed": 3, "steps": 20, "training": ["a", "b"]}


@pytest.mark.parametrize("simulated", [True, False, {"segmentation": False, "risk": True}])
def test_the_record_who_was_simulated_and_versions_are_told(simulated):
    facts = training_facts(RECORD, simulated, ("numpy", "SimpleITK"))
    assert list(facts) == [*RECORD, "cohort", "versions"]
    assert {name: facts[name] for name in RECORD} == RECORD
    assert facts["cohort"] == {"simulated": simulated}
    assert facts["versions"] == {
        "python": platform.python_version(),
        "numpy": packages.version("numpy"),
        "SimpleITK": packages.version("SimpleITK"),
    }
    assert json.loads(json.dumps(facts)) == facts


def test_a_library_that_is_not_there_is_an_error():
    with pytest.raises(packages.PackageNotFoundError):
        training_facts(RECORD, True, ("no-such-library",))


def test_what_was_given_stays_as_it_was():
    record, simulated = dict(RECORD), {"segmentation": True}
    facts = training_facts(record, simulated, ())
    facts["cohort"]["simulated"]["segmentation"] = False
    assert (record, simulated) == (RECORD, {"segmentation": True})
