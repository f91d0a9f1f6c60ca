"""SpleenVolume's pipeline: abdominal CT to masks, and masks to measurements. Pure: no MRML, no Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PrognosisLib.bundles.backends import Network, load_network
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.findings import Findings, Flag, Mask
from PrognosisLib.images.checks import check_ct
from PrognosisLib.pipeline import Case, Progress, Stopwatch, silent

from . import network
from .measurements import measure_spleen
from .segmentation import segment_spleen


@dataclasses.dataclass(frozen=True)
class SpleenSettings:
    """Settings of one run.

    Args:
        device: "auto", "cpu" or "gpu".
        threads: CPU threads; 0 takes all.
        cutoff_mL: volume that parts the high from the low group; None sets no group (the published cut-off is unknown).
    """

    device: str = "auto"
    threads: int = 0
    cutoff_mL: float | None = None


class SpleenPipeline:
    """The published system's steps with this project's networks; the networks are loaded once and stay warm."""

    system = "spleen"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, system=self.system, channels=1, classes=len(network.CLASSES))
        self._networks: dict[tuple[str, int], dict[str, Network]] = {}

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        """Spleen and Liver masks of the volume "ct", or a flag "no_spleen" and no Spleen mask.

        Raises:
            InputError: not a CT, too few slices, or values that are no Hounsfield units.
        """
        volume = case.volumes["ct"]
        settings = SpleenSettings(**case.settings)
        watch = Stopwatch()
        progress(0.0, "Checking the image")
        with watch("check"):
            check_ct(volume)
        with watch("load networks"):
            networks = self.load_networks(settings)
        masks = segment_spleen(volume, networks, self.bundle.metadata["interval"]["logit"], progress, watch)
        flags = () if any(mask.name == "Spleen" for mask in masks) else (no_spleen_flag(),)
        provenance = {
            "bundle": self.bundle.identity,
            "device": networks["coarse"].device,
            "seconds": watch.seconds,
            "reading": list(volume.notes),
        }
        return Findings(self.system, masks=masks, flags=flags, provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        """Every row, flag and curve that the masks and the clinical values allow."""
        models = {name: self.bundle.json(name) for name in ("survival", "decompensation", "groups")}
        settings = {
            **dataclasses.asdict(SpleenSettings(**case.settings)),
            "boundary_uncertainty_mm": self.bundle.metadata["interval"]["boundary_mm"],
        }
        return measure_spleen(case.volumes["ct"], masks, case.clinical, settings, models)

    def load_networks(self, settings: SpleenSettings = SpleenSettings()) -> dict[str, Network]:
        """The coarse and the fine network by name, loaded once for a device."""
        key = (settings.device, settings.threads)
        if key not in self._networks:
            self._networks = {
                key: {
                    stage.name: load_network(self.bundle, stage.name, lambda stage=stage: network.build(stage), *key)
                    for stage in (network.COARSE, network.FINE)
                }
            }
        return self._networks[key]


def no_spleen_flag() -> Flag:
    return Flag(
        "no_spleen",
        "error",
        "No spleen found: check that the scan covers the left upper abdomen, or draw the spleen in Segment Editor "
        "and measure that segmentation.",
        "Spleen",
    )


def default_settings() -> dict[str, Any]:
    return dataclasses.asdict(SpleenSettings())
