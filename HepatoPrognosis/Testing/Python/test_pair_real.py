"""One real image is known again after changes, and two real ones are not taken for one."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from HepatoPrognosisLib.comparing.same_image import SAME, likeness
from PrognosisLib.framewise.lattice import FrameLattice
from PrognosisLib.images.cine.cine import ArrayFrames, Cine
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.screen import find_screen

IMAGES = Path(__file__).resolve().parents[4] / "shared" / "data" / "liver-us" / "rus" / "images"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not IMAGES.is_dir(), reason="the real ultrasound in ../shared/data is absent"),
]
EVERY = 18


def seen(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A frame on the lattice, and its sector on its own pixels."""
    cine = Cine(ArrayFrames(gray[None]), np.zeros(1))
    screen = find_screen(cine)
    frame = screen.seen(gray)
    return FrameLattice.of(cine, screen)(frame), frame[screen.sector.box].astype(np.float32)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [read_cine(path).frame(0, gray=True) for path in sorted(IMAGES.iterdir())[::EVERY]]


def test_two_images_are_two(frames):
    pairs = itertools.combinations([seen(frame)[0] for frame in frames], 2)
    assert max(likeness(first, second) for first, second in pairs) < SAME - 0.2


def test_one_image_is_known_after_changes(frames):
    for gray in frames[:5]:
        rows, columns = gray.shape
        inner = gray[rows // 12 : -rows // 12, columns // 10 : -columns // 10]
        brighter = np.clip(1.3 * gray + 8.0 * (gray > 0), 0, 255).astype(np.uint8)
        softer = (255 * (gray / 255.0) ** 0.7).astype(np.uint8)
        for changed in (inner, brighter, softer):
            assert max(map(likeness, seen(gray), seen(changed))) > SAME + 0.1
