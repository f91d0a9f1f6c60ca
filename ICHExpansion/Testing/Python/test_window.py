"""Gray values of an 8-bit export back to Hounsfield units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ICHExpansionLib.head.window import to_hounsfield
from PrognosisLib.errors import InputError
from PrognosisLib.volume import Volume


def gray(values, dtype=np.uint8) -> Volume:
    matrix = np.diag([-0.5, 0.7, 5.0, 1.0])
    return Volume(np.array(values, dtype).reshape(1, 1, -1), matrix, "CT", "export", notes=("read",))


def test_a_ct_in_hounsfield_units_is_left_alone():
    volume = gray([-1000, 40, 2000], np.int16)
    assert to_hounsfield(volume, None, None) is volume


def test_the_ends_and_the_middle_of_the_window():
    found = to_hounsfield(gray([0, 51, 255]), 80.0, 40.0)
    assert found.array.ravel().tolist() == pytest.approx([0.0, 16.0, 80.0], abs=1e-4)
    assert found.array.dtype == np.float32
    assert (found.ijk_to_ras == gray([0]).ijk_to_ras).all()
    assert (found.name, found.notes) == ("export", ("read",))
    assert to_hounsfield(gray([0, 255]), 200.0, 50.0).array.ravel().tolist() == pytest.approx([-50.0, 150.0], abs=1e-4)


@given(st.floats(1.0, 4000.0), st.floats(-500.0, 500.0), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_an_exported_window_comes_back(width, level, shares):
    """To half a gray level."""
    hu = np.array(shares) * width + level - width / 2
    stored = np.rint((hu - (level - width / 2)) * 255 / width)
    found = to_hounsfield(gray(stored), width, level).array.ravel()
    np.testing.assert_allclose(found, hu, atol=0.51 * width / 255 + 1e-3)


@pytest.mark.parametrize(
    ("values", "width", "level", "words"),
    [
        ([0, 255], 80.0, None, "width and its level"),
        ([0, 255], None, 40.0, "width and its level"),
        ([0, 255], 0.0, 40.0, "window width of 0 HU"),
        ([0, 255], -80.0, 40.0, "window width of -80 HU"),
        ([0, 255], 5000.0, 40.0, "window width of 5000 HU"),
        ([-1, 255], 80.0, 40.0, "'export' has values from -1 to 255"),
        ([0, 256], 80.0, 40.0, "no 8-bit export"),
    ],
)
def test_what_cannot_be_a_window_is_refused(values, width, level, words):
    with pytest.raises(InputError, match=words):
        to_hounsfield(gray(values, np.int16), width, level)
