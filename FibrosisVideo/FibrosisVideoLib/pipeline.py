"""FibrosisVideo's pipeline: an ultrasound cine to masks, and masks to stages. Pure: no MRML, no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PrognosisLib.bundles.backends import Network, load_network
from PrognosisLib.errors import BundleError
from PrognosisLib.findings import Findings, Flag, HeatMap, Mask
from PrognosisLib.images.cine.checks import check_cine
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.screen import find_screen
from PrognosisLib.pipeline import Case, Progress, Stopwatch, silent

from .labels import LIVER, MODELS, PRODUCT
from .measuring.measurements import measure_cine
from .measuring.readout import FibrosisReadout
from .networks.catalog import FILM, FRAMES, SEGMENTER, build_encoder, build_film, build_segmenter, load_bundle
from .networks.heads import Head, head_from_dict
from .networks.lattice import CELL
from .networks.reading import CineReading, read_cine_frames
from .networks.summary import evidence_of, heat_of
from .settings import FibrosisSettings, default_settings

__all__ = ["FibrosisPipeline", "default_settings"]

FEWEST_FRAMES = 8
DEFAULTS = FibrosisSettings()
HEAT_NAME = "Grad-CAM of significant fibrosis"


class FibrosisPipeline:
    """A network that draws the liver and three that read the cine by windows; all stay warm once they are loaded."""

    system = "fibrosis"

    def __init__(self, bundle: Path) -> None:
        self.bundle = load_bundle(bundle)
        self.readout = FibrosisReadout.from_bundle(self.bundle)
        self._heads: dict[str, Head] | None = None
        self._networks: tuple[tuple[str, int], dict[str, Network]] | None = None

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        """The liver in every frame with what the networks saw of the cine, its Grad-CAM, and flags about the film.

        Raises:
            InputError: no B-mode cine, or too short a one.
        """
        settings = FibrosisSettings(**case.settings)
        settings.check()
        cine, watch = case.volumes["cine"], Stopwatch()
        progress(0.0, "Looking for the ultrasound image in the frames")
        with watch("screen"):
            screen = find_screen(cine)
        progress(0.08, "Checking the cine")
        with watch("check"):
            flags = list(check_cine(cine, screen, FEWEST_FRAMES))
        progress(0.15, "Loading the networks")
        with watch("load networks"):
            networks = self.load_networks(settings)

        def tell(done: int) -> None:
            progress(0.2 + 0.7 * done / len(cine), f"Reading frame {done} of {len(cine)}")

        with watch("networks"):
            read = read_cine_frames(cine, screen, networks, self.heads, settings.heat_map, tell)
        progress(0.92, "Drawing the liver")
        with watch("masks"):
            masks, heat = self._drawn(cine, screen, read)
        if not masks:
            flags.append(no_liver_flag(cine))
        provenance = {
            "bundle": self.bundle.identity,
            "device": networks[SEGMENTER].device,
            "seconds": watch.seconds,
            "frames": {"all": len(cine), "read by the classifiers": len(read.kept), "windows": len(read.windows)},
            "reading": list(cine.notes),
        }
        return Findings(self.system, masks=masks, flags=tuple(flags), heat_maps=heat, provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        """Every row, flag and curve that the mask and the clinical values allow."""
        settings = FibrosisSettings(**case.settings)
        settings.check()
        return measure_cine(masks.get(LIVER), case.clinical, self.readout, settings, case.volumes["cine"])

    def _drawn(self, cine: Cine, screen: Any, read: CineReading) -> tuple[tuple[Mask, ...], tuple[HeatMap, ...]]:
        """The liver's mask with the evidence, and the product's heat map."""
        liver = read.liver_frames()
        if not liver.any():
            return (), ()
        text = evidence_of(cine, screen, read).to_text()
        mask = Mask.from_full(LIVER, liver, read.lattice.grid(len(cine)), confidence=read.probability, evidence=text)
        heat = heat_of(read, PRODUCT, len(cine))
        maps = () if heat is None else (HeatMap(HEAT_NAME, heat, read.lattice.cells(len(cine), CELL)),)
        return (mask,), maps

    @property
    def heads(self) -> dict[str, Head]:
        """From pooled features to scores, by key of labels.MODELS."""
        if self._heads is None:
            try:
                content = self.bundle.json("heads")
                self._heads = {model: head_from_dict(content[model]) for model in MODELS}
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise BundleError("The heads of the model bundle are damaged; install the bundle again.") from error
        return self._heads

    def load_networks(self, settings: FibrosisSettings = DEFAULTS) -> dict[str, Network]:
        """By the names of catalog.py, loaded once for a device."""
        key = (settings.device, settings.threads)
        if self._networks is None or self._networks[0] != key:
            builders = {SEGMENTER: build_segmenter, FRAMES: build_encoder, FILM: build_film}
            found = {name: load_network(self.bundle, name, build, *key) for name, build in builders.items()}
            self._networks = (key, found)
        return self._networks[1]


def no_liver_flag(cine: Cine) -> Flag:
    """An error that lasts until a liver is drawn."""
    message = (
        f"No liver found in '{cine.name}': check that it is a B-mode cine of the liver, or draw the liver in Segment "
        "Editor."
    )
    return Flag("no_liver", "error", message, LIVER)
