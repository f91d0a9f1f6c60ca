"""LiverStiffness's pipeline: T2 and T1 image to masks, and masks to stiffness. Pure: no MRML, no Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PrognosisLib.bundles.backends import Network, load_network
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings, Flag, Mask
from PrognosisLib.pipeline import Case, Progress, Stopwatch, silent
from PrognosisLib.scores.stiffness import SWE_F2_KPA, SWE_F3_KPA, check_swe_cutoffs

from .labels import CLASSES, LIVER, LIVER_ON_T1, SEGMENTS, SPLEEN, THRESHOLDS_KPA
from .measuring import evidence as evidence_text
from .measuring.heat import heat_maps
from .measuring.measurements import measure_examination
from .measuring.readout import Readout, model_name
from .segmenting import network
from .segmenting.alignment import align, carried, moved_back
from .segmenting.mr_checks import check_mr, check_one_patient, check_sequences
from .segmenting.reading import ReadImage, read_image
from .segmenting.segmentation import draw_masks

ROLES = {"T2": "t2", "T1": "t1"}


@dataclasses.dataclass(frozen=True)
class StiffnessSettings:
    """Settings of one run.

    Args:
        device: "auto", "cpu" or "gpu".
        threads: CPU threads; 0 takes all.
        decision_kpa: the threshold that the summary is about, one of labels.THRESHOLDS_KPA.
        swe_f2_kpa, swe_f3_kpa: cut-offs of the user's ultrasound device, for a measured SWE value.
    """

    device: str = "auto"
    threads: int = 0
    decision_kpa: float = 3.0
    swe_f2_kpa: float = SWE_F2_KPA
    swe_f3_kpa: float = SWE_F3_KPA

    def check(self) -> None:
        """Raises InputError where a value is out of range."""
        if self.decision_kpa not in THRESHOLDS_KPA:
            choices = ", ".join(f"{t:g}" for t in THRESHOLDS_KPA)
            raise InputError(f"There is no threshold of {self.decision_kpa:g} kPa; choose one of {choices}.")
        check_swe_cutoffs(self.swe_f2_kpa, self.swe_f3_kpa)


class StiffnessPipeline:
    """The published system's steps with this project's network, which is loaded once and stays warm."""

    system = "stiffness"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, system=self.system, channels=network.CHANNELS, classes=len(CLASSES))
        self.readout = Readout.from_bundle(self.bundle)
        self._network: tuple[tuple[str, int], Network] | None = None

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        """Masks of liver, spleen and ascites, drawn in the T2 and carried to the T1; flags about the images.

        Raises:
            InputError: no MR image, swapped or wrong sequences, two patients.
        """
        settings = StiffnessSettings(**case.settings)
        settings.check()
        watch = Stopwatch()
        volumes = {sequence: case.volumes[role] for sequence, role in ROLES.items() if role in case.volumes}
        names = {sequence: volume.name for sequence, volume in volumes.items()}
        progress(0.0, "Checking the images")
        with watch("check"):
            for sequence, volume in volumes.items():
                check_mr(volume, sequence)
        with watch("load network"):
            net = self.load_network(settings)
        read: dict[str, ReadImage] = {}
        for number, (sequence, volume) in enumerate(volumes.items()):
            progress(0.1 + 0.35 * number, f"Reading the {sequence}-weighted image")
            with watch(f"network {sequence}"):
                read[sequence] = read_image(volume, net, tuple(SEGMENTS))
        flags = check_sequences(read, names)
        first = next(iter(volumes))
        progress(0.8, "Drawing the masks")
        with watch("masks"):
            masks = draw_masks(read[first], volumes[first].grid, self.interval_logit)
        evidence = {first: read[first].evidence}
        written = list(masks.values())
        if LIVER in masks and len(volumes) == 2:
            progress(0.9, "Laying T1 over T2")
            with watch("alignment"):
                alignment = align(read["T2"], read["T1"])
                flags += check_one_patient(alignment, names)
                if alignment is None:
                    flags.append(no_liver_flag("T1", names["T1"], ""))
                else:
                    evidence["T1"] = moved_back(read["T1"].evidence, alignment.shift_mm)
                    written.append(carried(masks[LIVER], alignment.shift_mm, LIVER_ON_T1))
        heat = ()
        if LIVER in masks:
            liver = dataclasses.replace(masks[LIVER], evidence=evidence_text.to_text(evidence))
            written[list(masks).index(LIVER)] = liver
            with watch("heat map"):
                inputs = evidence_text.slice_inputs(liver, evidence)
                heat = heat_maps(self.readout.models[model_name(inputs)], read, inputs, evidence)
        else:
            flags.append(no_liver_flag(first, names[first], SEGMENTS[LIVER]))
        if LIVER in masks and SPLEEN not in masks:
            flags.append(no_spleen_flag())
        provenance = {
            "bundle": self.bundle.identity,
            "device": net.device,
            "seconds": watch.seconds,
            "sequences": {name: [round(float(p), 3) for p in one.sequence] for name, one in read.items()},
            "reading": [note for volume in volumes.values() for note in volume.notes],
        }
        return Findings(self.system, masks=tuple(written), flags=tuple(flags), heat_maps=heat, provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        """Every row, flag and curve that the masks and the clinical values allow."""
        settings = StiffnessSettings(**case.settings)
        settings.check()
        return measure_examination(masks, case.clinical, self.readout, settings)

    @property
    def interval_logit(self) -> float:
        return float(self.bundle.metadata["interval"]["logit"])

    def load_network(self, settings: StiffnessSettings = StiffnessSettings()) -> Network:
        """The network, loaded once for a device."""
        key = (settings.device, settings.threads)
        if self._network is None or self._network[0] != key:
            self._network = (key, load_network(self.bundle, network.NAME, network.build, *key))
        return self._network[1]


def no_liver_flag(sequence: str, name: str, segment: str) -> Flag:
    """About the image that carries the segments, where `segment` is the liver's, or the other one."""
    return Flag(
        "no_liver",
        "error",
        f"No liver found in '{name}' ({sequence}): check that the image is an axial one of the upper abdomen, or draw "
        "the liver in Segment Editor.",
        segment,
    )


def no_spleen_flag() -> Flag:
    return Flag(
        "no_spleen",
        "warning",
        "No spleen found: it was removed, lies outside the image or was missed; the stiffness is read without it.",
        "Spleen",
    )


def default_settings() -> dict[str, Any]:
    return dataclasses.asdict(StiffnessSettings())
