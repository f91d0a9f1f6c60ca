"""Whether two images can be T0 and T1 of one patient: by what their files say, and by the images themselves."""

from __future__ import annotations

from PrognosisLib.errors import InputError
from PrognosisLib.findings import Flag
from PrognosisLib.framewise.frames import FEWEST_LIVER_CM2, frame_reason
from PrognosisLib.images.cine.cine import Cine

from ..labels import LIVER, LIVER_AT_T1, SECOND_DAY
from ..networks.choosing import SURE
from ..networks.reading import ReadFrame
from .same_image import is_same_image

NEAR_DAYS = (3, 8)  # between T0 and T1
SEGMENT = {"t0": LIVER, "t1": LIVER_AT_T1}


def check_files(first: Cine, second: Cine) -> list[Flag]:
    """What the files of T0 and T1 say of patient and date, where they say anything.

    Raises:
        InputError: two patients, or T1 is of an earlier day than T0.
    """
    kinds = [cine.patient.split(" ")[0] for cine in (first, second)]
    if first.patient != second.patient and kinds[0] == kinds[1]:
        raise InputError(
            f"T0 ('{first.name}') and T1 ('{second.name}') are of two patients, since their files have other patient "
            "IDs or names; choose two images of one patient."
        )
    if first.taken is None or second.taken is None:
        return []
    days = (second.taken.date() - first.taken.date()).days
    if days < 0:
        raise InputError(
            f"T1 ('{second.name}', {second.taken:%Y-%m-%d}) was taken before T0 ('{first.name}', "
            f"{first.taken:%Y-%m-%d}); exchange the two images."
        )
    if NEAR_DAYS[0] <= days <= NEAR_DAYS[1]:
        return []
    apart = "on the same day as" if not days else f"{days} day{'' if days == 1 else 's'} after"
    message = (
        f"T1 was taken {apart} T0, while the models know patients with a T1 of day {SECOND_DAY:g}: check the dates."
    )
    return [Flag("interval", "warning", message)]


def check_images(first: ReadFrame, second: ReadFrame) -> None:
    """Raises InputError where T0 and T1 are one image."""
    if is_same_image(first, second):
        raise InputError(
            f"T0 ('{first.cine.name}') and T1 ('{second.cine.name}') are the same image, cropped or with another gain "
            f"perhaps; choose the image of day {SECOND_DAY:g} for T1, or leave it out."
        )


def shows_liver(read: ReadFrame) -> bool:
    """Whether there is a liver to read the risk from; in a frame that the user chose, area is enough."""
    return read.facts.area_cm2 >= FEWEST_LIVER_CM2 and (read.is_chosen or read.facts.detection >= SURE)


def frame_flags(read: ReadFrame, role: str) -> list[Flag]:
    """No liver, or one that is hard to see, in the frame that was read."""
    when, name = role.upper(), read.cine.name
    if not shows_liver(read):
        where = f"'{name}'" if len(read.cine) == 1 or not read.is_chosen else f"frame {read.number + 1} of '{name}'"
        message = (
            f"No liver found in {where} ({when}): check that it is a B-mode image of the liver, or draw the liver in "
            "Segment Editor."
        )
        return [Flag(f"no_liver_{role}", "error", message, SEGMENT[role])]
    flags = []
    if frame_reason(read.facts.area_cm2, read.facts.gray):
        message = f"The liver in the image of {when} is very dark: what was read from it is not reliable."
        flags.append(Flag(f"dark_{role}", "warning", message, SEGMENT[role]))
    if read.facts.detection < SURE:
        message = f"The network doubts that the chosen frame of {when} shows a liver: choose another frame, or none."
        flags.append(Flag(f"doubtful_{role}", "warning", message, SEGMENT[role]))
    return flags
