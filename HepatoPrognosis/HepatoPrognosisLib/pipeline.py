"""HepatoPrognosis's pipeline: two ultrasound images to masks and readings, and these to mortality. No MRML, no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from PrognosisLib.bundles.backends import Network, load_network
from PrognosisLib.findings import Findings, Flag, HeatMap, Mask
from PrognosisLib.images.cine.checks import check_cine
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.screen import Screen, find_screen
from PrognosisLib.pipeline import Case, Progress, Stopwatch, silent

from .comparing.look import looks_of
from .comparing.maps import change_map, risk_maps
from .comparing.pair_checks import SEGMENT, check_files, check_images, frame_flags, shows_liver
from .comparing.registration import register
from .measuring.evidence import LiverFacts, PairEvidence
from .measuring.measurements import measure_pair
from .measuring.readout import HepatoReadout
from .networks.catalog import NAME, build, load_bundle, load_head
from .networks.head import PairHead
from .networks.reading import ReadFrame, read_image
from .settings import HepatoSettings, default_settings

__all__ = ["HepatoPipeline", "default_settings"]

DEFAULTS = HepatoSettings()


class HepatoPipeline:
    """The published system's steps with this project's network, which is loaded once and stays warm."""

    system = "hepato"

    def __init__(self, bundle: Path) -> None:
        self.bundle = load_bundle(bundle)
        self.readout = HepatoReadout.from_bundle(self.bundle)
        self._head: PairHead | None = None
        self._network: tuple[tuple[str, int], Network] | None = None

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        """The liver in one frame of each image with what the network read, where they differ, and flags.

        Raises:
            InputError: no B-mode image, one image given twice, two patients, or T1 is older than T0.
        """
        settings = HepatoSettings(**case.settings)
        settings.check()
        watch = Stopwatch()
        progress(0.0, "Checking the images")
        with watch("check"):
            screens, flags = _checked(case.volumes)
        progress(0.15, "Loading the network")
        with watch("load network"):
            network = self.load_network(settings)
        read: dict[str, ReadFrame] = {}
        for place, (role, cine) in enumerate(case.volumes.items()):
            start = 0.2 + 0.3 * place

            def tell(done: int, count: int, start: float = start, when: str = role.upper()) -> None:
                progress(start + 0.3 * done / count, f"Reading frame {done} of {count} of {when}")

            progress(start, f"Reading {role.upper()}")
            with watch(f"network {role}"):
                read[role] = read_image(cine, network, settings.frame_of(role), screens[role], tell)
            flags += frame_flags(read[role], role)
        progress(0.8, "Comparing the images")
        with watch("compare"):
            if len(read) == 2:
                check_images(read["t0"], read["t1"])
            masks, heat = self._compared({role: one for role, one in read.items() if shows_liver(one)})
        provenance = {
            "bundle": self.bundle.identity,
            "device": network.device,
            "seconds": watch.seconds,
            "frames": {role: {"all": len(one.cine), "read": one.number + 1} for role, one in read.items()},
            "reading": [note for cine in case.volumes.values() for note in cine.notes],
        }
        return Findings(self.system, masks=masks, flags=tuple(flags), heat_maps=heat, provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        """Every row, flag and curve that the masks and the clinical values allow."""
        settings = HepatoSettings(**case.settings)
        settings.check()
        frames = {role: len(cine) for role, cine in case.volumes.items()}
        return measure_pair(masks, case.clinical, self.readout, settings, frames)

    def _compared(self, read: Mapping[str, ReadFrame]) -> tuple[tuple[Mask, ...], tuple[HeatMap, ...]]:
        """Masks, with the evidence on that of T0, and maps; of T1 alone nothing is read."""
        first, second = read.get("t0"), read.get("t1")
        if first is None:
            return (), ()
        masks = {role: one.mask(SEGMENT[role], role="" if role == "t0" else role) for role, one in read.items()}
        text = self._evidence(masks, first, second).to_text()
        drawn = replace(masks["t0"], evidence=text)
        heat = risk_maps(self.head, first, second)
        if second is not None:
            laid = register((first.gray, first.liver), (second.gray, second.liver))
            heat.insert(1, change_map(first, second, laid))
        return (drawn, *(mask for mask in masks.values() if mask.role)), tuple(heat)

    def _evidence(self, masks: Mapping[str, Mask], first: ReadFrame, second: ReadFrame | None) -> PairEvidence:
        """What measuring needs of the network, also after a mask was edited."""
        looks = looks_of((first.gray, first.liver), None if second is None else (second.gray, second.liver))
        facts = {}
        for look, (role, mask) in zip(looks, masks.items(), strict=False):
            pixel = (first if role == "t0" else second).cine.pixel_mm
            count = int(mask.array.sum())
            area = None if pixel is None else count * pixel[0] * pixel[1]
            facts[role] = LiverFacts(count, area, look.echogenicity, look.texture, mask.start[0])
        head = self.head
        pair = None if second is None else float(head.score_pair(first.features, second.features))
        score = float(head.score_t0(first.features))
        return PairEvidence(score, pair, facts["t0"], facts.get("t1"), head.spread_t0, head.spread_pair)

    @property
    def head(self) -> PairHead:
        """Raises BundleError where it is damaged."""
        if self._head is None:
            self._head = load_head(self.bundle)
        return self._head

    def load_network(self, settings: HepatoSettings = DEFAULTS) -> Network:
        """The network, loaded once for a device."""
        key = (settings.device, settings.threads)
        if self._network is None or self._network[0] != key:
            self._network = (key, load_network(self.bundle, NAME, build, *key))
        return self._network[1]


def _checked(volumes: Mapping[str, Cine]) -> tuple[dict[str, Screen], list[Flag]]:
    """The ultrasound image in each film's frames, and flags about the films."""
    screens, flags = {}, []
    for role, cine in volumes.items():
        screens[role] = find_screen(cine)
        flags += [_of_image(flag, role) for flag in check_cine(cine, screens[role], min_frames=1)]
    if len(volumes) == 2:
        flags += check_files(volumes["t0"], volumes["t1"])
    return screens, flags


def _of_image(flag: Flag, role: str) -> Flag:
    """The flag with the image that it is about."""
    return Flag(f"{flag.key}_{role}", flag.severity, f"{role.upper()}: {flag.message}", flag.segment)
