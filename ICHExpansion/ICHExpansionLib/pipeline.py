"""ICHExpansion's pipeline: head CT to masks, and masks to measurements and risks. Pure: no MRML, no Qt."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.bundles.backends import Network, load_network
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.findings import Findings, Flag, Mask
from PrognosisLib.pipeline import Case, Progress, Stopwatch, silent
from PrognosisLib.volume import Volume

from .definition import Definition
from .head.brain import Brain, find_brain
from .head.head_checks import check_head_ct, quality_flags
from .head.window import to_hounsfield
from .labels import CLASSES, HEMATOMA
from .measuring.followup import compare_followup
from .measuring.measurements import measure_hemorrhage
from .segmenting import network
from .segmenting.attention import AttentionModel
from .segmenting.heat import heat_map
from .segmenting.segmentation import Segmented, segment_head

# Less than this is taken for dense membranes and venous sinuses.
SHOWN_EXTRA_AXIAL_ML = 3.0
MODELS = ("image", "clinical", "integrated", "cohort")


@dataclasses.dataclass(frozen=True)
class ICHSettings:
    """Settings of one run.

    Args:
        device: "auto", "cpu" or "gpu".
        threads: CPU threads; 0 takes all.
        expansion_ml, expansion_percent: growth counts as expansion when it meets one of them; None leaves one out.
        expansion_operator: ">" or ">=".
        window_width, window_level: of the window (HU) that an 8-bit export was made with; None for a CT in HU.
    """

    device: str = "auto"
    threads: int = 0
    expansion_ml: float | None = 6.0
    expansion_percent: float | None = 33.0
    expansion_operator: str = ">"
    window_width: float | None = None
    window_level: float | None = None

    @property
    def definition(self) -> Definition:
        """Raises InputError where the limits define nothing."""
        return Definition(self.expansion_ml, self.expansion_percent, self.expansion_operator)


class ICHPipeline:
    """The published system's steps with this project's network, which is loaded once and stays warm."""

    system = "ich"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, system=self.system, channels=network.CHANNELS, classes=len(CLASSES))
        self.attention = AttentionModel.from_dict(self.bundle.json("attention"), network.FEATURES)
        self._network: tuple[tuple[str, int], Network] | None = None
        self._brain: tuple[tuple[int, bytes], Brain] | None = None

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        """Masks of the first CT and, where "followup" is given, the hematoma's growth; flags about the images.

        Raises:
            InputError: not a head CT, values that are no Hounsfield units, or a definition without a limit.
        """
        settings = ICHSettings(**case.settings)
        _ = settings.definition
        watch = Stopwatch()
        progress(0.0, "Checking the image")
        with watch("check"):
            volume = to_hounsfield(case.volumes["ct"], settings.window_width, settings.window_level)
            check_head_ct(volume)
            brain = self._brain_of(volume)
            flags = quality_flags(volume, brain)
        with watch("load network"):
            net = self.load_network(settings)
        found = segment_head(volume, brain, net, self.interval_logit, progress, watch)
        masks = dict(found.masks)
        heat = ()
        if found.has_hematoma:
            masks[HEMATOMA] = dataclasses.replace(masks[HEMATOMA], evidence=found.evidence.to_json())
            with watch("heat map"):
                heat = (heat_map(self.attention, found, masks[HEMATOMA]),)
        else:
            flags.append(no_hematoma_flag())
        if found.extra_axial_ml >= SHOWN_EXTRA_AXIAL_ML:
            flags.append(extra_axial_flag(found.extra_axial_ml))
        written = list(masks.values())
        if "followup" in case.volumes:
            *later, doubts = self._segment_followup(case, settings, net, progress, watch)
            more, reasons = compare_followup(volume, masks.get(HEMATOMA), *later, progress, watch)
            written += more
            flags += [*doubts, *reasons]
        provenance = {
            "bundle": self.bundle.identity,
            "device": net.device,
            "seconds": watch.seconds,
            "reading": list(volume.notes),
        }
        return Findings(self.system, masks=tuple(written), flags=tuple(flags), heat_maps=heat, provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        """Every row, flag and curve that the masks and the clinical values allow."""
        settings = ICHSettings(**case.settings)
        volume = to_hounsfield(case.volumes["ct"], settings.window_width, settings.window_level)
        models = {name: self.bundle.json(name) for name in MODELS}
        brain = self._brain_of(volume) if "Hematoma" in masks and not masks["Hematoma"].is_empty else None
        boundary = self.bundle.metadata["interval"]["boundary_mm"]
        return measure_hemorrhage(
            volume, brain, masks, case.clinical, settings.definition, self.attention, models, boundary
        )

    @property
    def interval_logit(self) -> float:
        return float(self.bundle.metadata["interval"]["logit"])

    def load_network(self, settings: ICHSettings = ICHSettings()) -> Network:
        """The network, loaded once for a device."""
        key = (settings.device, settings.threads)
        if self._network is None or self._network[0] != key:
            self._network = (key, load_network(self.bundle, network.NAME, network.build, *key))
        return self._network[1]

    def _brain_of(self, volume: Volume) -> Brain:
        """The skull's inside; kept, since segmenting and measuring ask for the same image's."""
        key = (zlib.crc32(np.ascontiguousarray(volume.array).data), volume.ijk_to_ras.tobytes())
        if self._brain is None or self._brain[0] != key:
            self._brain = (key, find_brain(volume))
        return self._brain[1]

    def _segment_followup(
        self, case: Case, settings: ICHSettings, net: Network, progress: Progress, watch: Stopwatch
    ) -> tuple[Volume, Segmented, list[Flag]]:
        progress(0.75, "Segmenting the follow-up")
        with watch("follow-up"):
            later = to_hounsfield(case.volumes["followup"], settings.window_width, settings.window_level)
            check_head_ct(later, "follow-up CT")
            brain = find_brain(later)
            found = segment_head(later, brain, net, self.interval_logit, silent, Stopwatch())
            flags = [followup_flag(one) for one in quality_flags(later, brain) if one.severity != "info"]
        return later, found, flags


def followup_flag(flag: Flag) -> Flag:
    """A reason to distrust the follow-up's image."""
    message = f"In the follow-up: {flag.message[:1].lower()}{flag.message[1:]}"
    return dataclasses.replace(flag, key=f"followup_{flag.key}", message=message)


def no_hematoma_flag() -> Flag:
    return Flag(
        "no_hematoma",
        "warning",
        "No hematoma found: the network saw no parenchymal blood. Look at every slice; draw the hematoma in Segment "
        "Editor and measure that segmentation if there is one.",
        "Hematoma",
    )


def extra_axial_flag(ml: float) -> Flag:
    return Flag(
        "extra_axial",
        "warning",
        f"About {ml:.0f} mL of blood outside the brain (subdural, epidural or subarachnoid) was seen and left out; "
        "the risk models are for parenchymal hemorrhage without trauma.",
    )


def default_settings() -> dict[str, Any]:
    return dataclasses.asdict(ICHSettings())
