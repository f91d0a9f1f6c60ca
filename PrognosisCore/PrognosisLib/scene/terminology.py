"""Standard codes and colors of the segments this extension writes, and how segments made elsewhere are recognized.

Codes are SNOMED CT. The anatomical category has two codes in use (the older one in 3D Slicer's lists, the newer one in
current DICOM): the first is written, both are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..colors import SEGMENT_COLORS

Code = tuple[str, str, str]  # coding scheme, code value, code meaning

ANATOMICAL: Code = ("SCT", "123037004", "Anatomical Structure")
ALTERED: Code = ("SCT", "49755003", "Morphologically Altered Structure")
ACCEPTED_CATEGORIES = {"123037004": {"123037004", "91723000"}, "49755003": {"49755003"}}
LIVER: Code = ("SCT", "10200004", "Liver")
HEMORRHAGE: Code = ("SCT", "50960005", "Hemorrhage")
BRAIN: Code = ("SCT", "12738006", "Brain")
NO_CODE: Code = ("", "", "")

TYPE_LIST = "Segmentation category and type - 3D Slicer General Anatomy list"
REGION_LIST = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class Entry:
    """Codes and color (red, green, blue, 0..255) of one segment name.

    `recognized` is False where the codes do not tell it from another segment, so that only its name does.
    """

    category: Code
    type: Code
    color: tuple[int, int, int]
    region: Code = NO_CODE
    recognized: bool = True

    def serialized(self) -> str:
        """As 3D Slicer stores it: list, category, type and its modifier, region list, region and its modifier."""
        codes = [self.category, self.type, NO_CODE, self.region, NO_CODE]
        texts = ["^".join(code) for code in codes]
        return "~".join([TYPE_LIST, *texts[:3], REGION_LIST, *texts[3:]])

    def fits(self, text: str) -> bool:
        """Whether a stored terminology text means this entry; a region is compared only where both state one."""
        parts = text.split("~")
        if not self.recognized or len(parts) < 3:
            return False
        category, kind = _value(parts[1]), _value(parts[2])
        region = _value(parts[5]) if len(parts) > 5 else ""
        return (
            category in ACCEPTED_CATEGORIES[self.category[1]]
            and kind == self.type[1]
            and (not region or not self.region[1] or region == self.region[1])
        )


def _value(code: str) -> str:
    fields = code.split("^")
    return fields[1] if len(fields) > 1 else ""


# In the order in which they are tried: a hemorrhage without a region is the hematoma.
ENTRIES: dict[str, Entry] = {
    "Spleen": Entry(ANATOMICAL, ("SCT", "78961009", "Spleen"), SEGMENT_COLORS["Spleen"]),
    "Liver": Entry(ANATOMICAL, LIVER, SEGMENT_COLORS["Liver"]),
    "Liver on T1": Entry(ANATOMICAL, LIVER, SEGMENT_COLORS["Liver on T1"], recognized=False),
    "Liver at T1": Entry(ANATOMICAL, LIVER, SEGMENT_COLORS["Liver at T1"], recognized=False),
    "Ascites": Entry(ALTERED, ("SCT", "389026000", "Ascites"), SEGMENT_COLORS["Ascites"]),
    "Hematoma": Entry(ALTERED, HEMORRHAGE, SEGMENT_COLORS["Hematoma"], BRAIN),
    "Intraventricular hemorrhage": Entry(
        ALTERED, HEMORRHAGE, SEGMENT_COLORS["Intraventricular hemorrhage"], ("SCT", "35764002", "Brain ventricle")
    ),
    "Perihematomal edema": Entry(ALTERED, ("SCT", "79654002", "Edema"), SEGMENT_COLORS["Perihematomal edema"], BRAIN),
    "Hematoma at follow-up": Entry(
        ALTERED, HEMORRHAGE, SEGMENT_COLORS["Hematoma at follow-up"], BRAIN, recognized=False
    ),
    "Hematoma growth": Entry(ALTERED, HEMORRHAGE, SEGMENT_COLORS["Hematoma growth"], BRAIN, recognized=False),
}


def recognize(segments: Iterable[tuple[str, str]]) -> list[str | None]:
    """The standard name of each segment (name, terminology text), None where it is none of ours.

    Names decide first (upper or lower case alike); codes only for a standard name that no segment bears. Each standard
    name is given by code once at most, but two segments may bear the same name.
    """
    segments = list(segments)
    by_name = {name.casefold(): name for name in ENTRIES}
    names = [by_name.get(name.strip().casefold()) for name, _text in segments]
    taken = set(names)
    for index, (_name, text) in enumerate(segments):
        if names[index] is None:
            names[index] = next((n for n, entry in ENTRIES.items() if n not in taken and entry.fits(text)), None)
            taken.add(names[index])
    return names
