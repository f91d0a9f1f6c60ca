"""Whether two images are one and the same, also after a change of gain or a crop.

Speckle is a fingerprint: two images of one liver, taken days apart, share its shape and not its speckle. So fine detail
is compared, without shapes and gray level, at every shift between the images.
"""

from __future__ import annotations

import numpy as np

from ..networks.reading import ReadFrame

# Correlation of the fine detail at the best shift. One image, simulated or real, with another gain, gray map, crop or
# size: 0.76 and more. Two of one simulated patient in one pose on one machine, with the same borders: up to 0.42; two
# real ones: up to 0.33.
SAME = 0.7
DETAIL_PIXELS = 3.0
FEWEST_SHARED = 0.25  # of the smaller image's pixels


def is_same_image(first: ReadFrame, second: ReadFrame) -> bool:
    """Whether T0 and T1 are one image; pixel by pixel as well, where a file does not tell the size of a pixel."""
    if likeness(first.gray, second.gray) >= SAME:
        return True
    if first.lattice.is_mm and second.lattice.is_mm:
        return False
    return likeness(_part(first), _part(second)) >= SAME


def _part(read: ReadFrame) -> np.ndarray:
    """The sector on the frame's own pixels."""
    return read.frame[read.screen.sector.box]


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation, -1 to 1, of the fine detail of two gray images (j, i) of any shapes at the best shift.

    0 is black: outside the image. Shifts at which little of the images overlaps do not count.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2

    details, insides = zip(*(_detail(one) for one in (first, second)), strict=True)
    shape = [next_fast_len(a + b - 1, real=True) for a, b in zip(first.shape, second.shape, strict=True)]

    def correlated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return irfft2(np.conj(rfft2(a, shape)) * rfft2(b, shape), shape)

    shared = correlated(*insides)
    fewest = FEWEST_SHARED * min(float(inside.sum()) for inside in insides)
    if not fewest:
        return 0.0
    power = correlated(details[0] ** 2, insides[1]) * correlated(insides[0], details[1] ** 2)
    found = correlated(*details) / np.sqrt(np.maximum(power, 1e-12))
    return float(found[shared >= fewest].max(initial=0.0))


def _detail(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gray values over those around, in units of their own spread around, and where the image is; both float32."""
    from scipy.ndimage import gaussian_filter

    inside = (gray > 0).astype(np.float32)
    weight = np.maximum(gaussian_filter(inside, DETAIL_PIXELS), 1e-3)
    rest = gray.astype(np.float32)
    rest = (rest - gaussian_filter(rest, DETAIL_PIXELS) / weight) * inside
    spread = np.sqrt(gaussian_filter(rest**2, 2 * DETAIL_PIXELS) / weight)
    return np.clip(rest / np.maximum(spread, 1.0), -3.0, 3.0), inside
