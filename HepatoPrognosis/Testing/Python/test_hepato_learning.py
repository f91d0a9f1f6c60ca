"""What the network learns from: pairs on disk, odd views, frames without a liver, targets and losses; own cohorts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas
import pytest

pytest.importorskip("torch")

import torch
from hepato_training import make_quick, painted, painted_pairs, write_own
from training_kit import Inline

from HepatoPrognosisLib.learning import siamese_training
from HepatoPrognosisLib.learning.empty_frames import KINDS, EmptyFrames, area_cm2
from HepatoPrognosisLib.learning.own_cohort import check_outcomes, for_network, own_pairs, table_of_cases
from HepatoPrognosisLib.learning.pairs import PATIENTS, Views, load_pairs, simulate_pairs
from HepatoPrognosisLib.learning.siamese_training import PairSource, SiameseNetwork, cox_loss, siamese_loss
from HepatoPrognosisLib.learning.targets import taught
from HepatoPrognosisLib.simulation.causes import SIGNS, draw_patient
from PrognosisLib.errors import InputError
from PrognosisLib.framewise.lattice import SHAPE
from PrognosisLib.learning import frame_files

# --- files ------------------------------------------------------------------------------------------------------------


def test_a_simulated_pair_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_files, "ProcessPoolExecutor", Inline)
    files = simulate_pairs(tmp_path, [4])
    pairs = load_pairs(files)
    assert pairs.gray.shape == pairs.liver.shape == (1, 2, *SHAPE)
    assert pairs.names == ["simulated_00004"]
    assert (area_cm2(pairs.liver[0]) > 20).all()
    assert not np.array_equal(pairs.gray[0, 0], pairs.gray[0, 1])
    before = files[0].stat().st_mtime_ns
    assert simulate_pairs(tmp_path, [4]) == files
    assert files[0].stat().st_mtime_ns == before


def test_files_are_named_by_their_patients(tmp_path, monkeypatch):
    """What was simulated beforehand for the same seeds is found again."""
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch)
        first = simulate_pairs(tmp_path, range(PATIENTS))
        assert simulate_pairs(tmp_path, range(2 * PATIENTS + 3))[0] == first[0]
        assert load_pairs(sorted(tmp_path.glob("*.npz"))).seeds.tolist() == list(range(2 * PATIENTS + 3))


# --- frames without a liver -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def views() -> Views:
    gray, liver = painted(120.0, 1)
    bare = np.where(liver, 45, gray).astype(np.uint8)
    return Views(np.stack([gray, bare]), np.stack([liver, np.zeros_like(liver)]))


@pytest.mark.parametrize("kind", KINDS)
def test_empty_frames_have_no_liver(views, kind):
    source, rng = EmptyFrames.among(*views), np.random.default_rng(3)
    assert source.empty.tolist() == [1]
    for _ in range(10):
        frame = source(rng, kind)
        assert frame.shape == SHAPE
        assert frame.dtype == np.uint8
        assert 1 < frame.mean() < 250
        if kind in ("view", "box"):  # the painted liver is far brighter than all else
            assert frame.max() < 80
        if kind == "upside down":
            assert any(np.array_equal(frame, one[::-1]) for one in views.gray)


# --- targets and losses -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return painted_pairs(tmp_path_factory.mktemp("pairs"), [3, 5, 8])


def test_what_is_taught_of_simulated_pairs(pairs):
    known = taught(pairs)
    patient = draw_patient(5)
    assert known.signs[1, 0] == pytest.approx([getattr(patient.first, name) for name in SIGNS], rel=1e-5)
    assert known.signs[1, 1] == pytest.approx([getattr(patient.second, name) for name in SIGNS], rel=1e-5)
    assert known.days[1] == pytest.approx(patient.days, rel=1e-5)
    assert known.log_hazard.shape == (3, 2)
    assert np.isfinite(known.log_hazard).all()
    hidden = known.without_risk()
    assert np.isnan(hidden.log_hazard).all()
    assert np.isnan(hidden.days).all()
    assert known.rows(np.array([True, False, True])).count == 2


@pytest.fixture(scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch)
        yield


def test_a_batch(quick, pairs, views):
    source = PairSource(taught(pairs), views)
    images, target = source(np.random.default_rng(1))
    count = 2 * siamese_training.PAIRS + siamese_training.VIEWS + siamese_training.EMPTY
    assert images.shape == (count, 1, *SHAPE)
    assert target["liver"].shape == (count, *SHAPE)
    assert target["seen"].tolist()[:4] == [1, 1, 1, 1]
    assert target["seen"][-1] == 0
    assert target["liver"][-1].sum() == 0
    assert torch.isfinite(target["risk"]).all()
    again = source(np.random.default_rng(1))[0]
    assert torch.equal(images, again)


def test_both_images_of_a_pair_are_mirrored_alike(quick, pairs, views):
    """The painted liver lies to the left of the middle."""
    source = PairSource(taught(pairs), views)
    sides = []
    for seed in range(12):
        _images, target = source(np.random.default_rng(seed))
        columns = (target["liver"].sum(dim=1) * torch.arange(SHAPE[1])).sum(dim=1) / target["liver"].sum(dim=(1, 2))
        shown = columns[: 2 * siamese_training.PAIRS].reshape(2, -1) > (SHAPE[1] - 1) / 2
        assert torch.equal(shown[0], shown[1])
        sides += shown[0].tolist()
    assert 0 < sum(sides) < len(sides)


def test_what_is_not_known_teaches_nothing(quick, pairs, views):
    """Own pairs without outlines and signs: all losses stay finite, and so do the slopes."""
    known = taught(pairs)
    own = known.without_risk()._replace(
        outlined=np.zeros((3, 2), bool), signs=np.full_like(known.signs, np.nan), days=known.days
    )
    source = PairSource(known.without_risk(), views, own)
    network = SiameseNetwork()
    for seed in range(3):
        images, target = source(np.random.default_rng(seed))
        loss = siamese_loss(network(images), target)
        loss.backward()
        assert torch.isfinite(loss)
    assert all(torch.isfinite(one.grad).all() for one in network.parameters())


def test_the_partial_likelihood_of_a_batch_counted_by_hand():
    """Of three patients with an outcome the first died among all three, the second among two."""
    risk = torch.tensor([[0.5, 1.0], [0.1, -1.0], [0.0, 0.3], [9.0, 9.0]])
    unknown = torch.tensor([torch.nan, torch.nan])
    target = {
        "days": torch.tensor([6.0, 9.0, 20.0, torch.nan]),
        "died": torch.tensor([1.0, 1.0, 0.0, 0.0]),
        "risk": torch.stack([unknown] * 4),
    }
    expected = [
        [np.log(np.exp(r[:3]).sum()) - r[0], np.log(np.exp(r[1:3]).sum()) - r[1]] for r in risk.numpy().T.astype(float)
    ]
    assert float(cox_loss(risk, target)) == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(cox_loss(risk, {**target, "died": torch.zeros(4)})) == 0
    # a patient with an oracle does not count
    told = {**target, "risk": torch.stack([torch.zeros(2), unknown, unknown, unknown])}
    assert float(cox_loss(risk, told)) == pytest.approx(np.mean([one[1] for one in expected]), rel=1e-5)


# --- own cohorts ------------------------------------------------------------------------------------------------------


def outcomes(deaths: int, alive: int) -> pandas.DataFrame:
    status = [1] * deaths + [0] * alive
    rows = [
        {"patient": f"p{n}", "days": 80 - n % 40, "status": one, "age": 30 + n % 40 + 3 * (n % 4), "inr": 1 + n % 7 / 5}
        for n, one in enumerate(status)
    ]
    return table_of_cases(
        [SimpleNamespace(case=row["patient"], patient=row["patient"], values=row) for row in rows],
        {row["patient"]: {"age": row["age"], "inr": row["inr"]} for row in rows},
    )


def test_so_many_teach_the_network_that_enough_deaths_are_left():
    many = outcomes(60, 60)  # two candidates: 10 deaths are the fewest
    chosen = for_network(many, 0)
    assert chosen.sum() == 60
    assert many["status"][chosen].sum() == 30
    assert not np.array_equal(chosen, for_network(many, 1))
    assert not for_network(outcomes(11, 60), 0).any()
    some = outcomes(15, 60)
    assert 11 <= some["status"][~for_network(some, 0)].sum() < 15


def test_what_bears_no_clinical_model_is_refused_before_anything_is_trained():
    check_outcomes(outcomes(30, 30))
    with pytest.raises(InputError, match="9 events are too few"):
        check_outcomes(outcomes(9, 30))
    with pytest.raises(InputError, match="no clinical value tells of survival"):
        check_outcomes(outcomes(30, 30).assign(days=20.0))


def test_a_cohort_of_ones_own(tmp_path):
    own, kept = own_pairs(write_own(tmp_path, 14), "p12,p13")
    assert own.gray.shape == (12, 2, *SHAPE)
    assert own.table["patient"].tolist() == [f"p{number}" for number in range(12)]
    assert kept.table["status"].tolist() == [0, 1]
    assert own.outlined.tolist() == [[number % 2 == 0] * 2 for number in range(12)]
    _gray, liver = painted(90.0, 0)
    assert (own.liver[0, 0] == liver).mean() > 0.99
    shown = own.gray[[0, 2], 0][:, liver].mean(axis=1)
    assert shown == pytest.approx(150 - own.table["days"][[0, 2]], abs=5)
    teaching = own.taught(np.arange(12) < 2)
    assert np.isfinite(teaching.days).tolist() == [True, True] + [False] * 10
    assert np.isnan(teaching.signs).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"died": "perhaps"}, "Case 'c1': status is ''"),
        ({"days": "3"}, "Case 'c1': days is '3'"),
        ({"t0_frame": "4"}, "t0_frame is '4'; give a number from 1 to 1"),
        ({"age": "900"}, "Case 'c1'"),
        ({"t0": "0_t0.dcm"}, "same image"),
    ],
)
def test_an_unfit_case_is_named(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        own_pairs(write_own(tmp_path, 14, **changed), "")
