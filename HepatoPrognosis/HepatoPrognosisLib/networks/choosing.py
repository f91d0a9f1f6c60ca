"""Which frame of a cine is read: the largest liver among those that are sharp, bright enough and show one for sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.framewise.frames import frame_reason

SURE = 0.5  # probability that a liver is in view
SHARP = 0.75  # of the median sharpness of the frames that can be used
# Of longer cines every second, third, ... frame is looked at, so many at most.
MOST_FRAMES = 100
NO_LIVER = "no liver in view"


@dataclass(frozen=True)
class FrameFacts:
    """What a frame shows.

    Args:
        number: of the frame, from 0.
        area_cm2: of the liver; gray: its mean gray value, 0 to 255.
        sharpness: how much neighboring pixels differ, in parts of their gray value.
        detection: probability that a liver is in view, 0 to 1.
    """

    number: int
    area_cm2: float
    gray: float
    sharpness: float
    detection: float

    @property
    def reason(self) -> str:
        """Why the frame cannot be used, or nothing."""
        return frame_reason(self.area_cm2, self.gray) or (NO_LIVER if self.detection < SURE else "")


def sharpness_of(gray: np.ndarray, inside: np.ndarray) -> float:
    """Mean difference between neighboring pixels inside (j, i) bool, over the mean gray value; 0 where all is black.

    Blurred frames, as of a probe in fast motion, have less of it; the gain hardly changes it.
    """
    both = inside[1:, 1:] & inside[1:, :-1] & inside[:-1, 1:]
    if not both.any():
        return 0.0
    steps = np.abs(gray[1:, 1:] - gray[:-1, 1:]) + np.abs(gray[1:, 1:] - gray[1:, :-1])
    mean = float(gray[1:, 1:][both].mean())
    return float(steps[both].mean()) / mean if mean > 0 else 0.0


def best_frame(frames: list[FrameFacts]) -> FrameFacts | None:
    """The largest liver among the frames that can be used and are sharp; of equal ones the first. None without any."""
    usable = [one for one in frames if not one.reason]
    if not usable:
        return None
    limit = SHARP * float(np.median([one.sharpness for one in usable]))
    return max((one for one in usable if one.sharpness >= limit), key=lambda one: (one.area_cm2, -one.number))
