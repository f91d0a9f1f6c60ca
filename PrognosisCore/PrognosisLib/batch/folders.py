"""The cases in a folder: image files by their names, DICOM files by their series. docs/batch.md has the rules."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..images import dicom
from ..images.cine import stills, video
from ..images.readers import ITK, NIFTI
from ..systems import Role, System
from .cases import BatchCase, Found

# A scout or a screenshot of a report has fewer; no volume can be read from so few.
LEAST_SLICES = 5
NO_SCANS = re.compile(r"\.seg$|(^|[ _.-])(seg|segmentation|labels?|masks?)$", re.IGNORECASE)
TAGS = (
    *("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality"),
    *("ImageType", "PatientID", "Rows", "NumberOfFrames"),
)


@dataclass
class _Series:
    """What the files of one series say of it."""

    uid: str
    study: str
    patient: str
    modality: str
    description: str
    number: int
    is_localizer: bool
    folder: Path
    frames: int = 0
    films: list[Path] = field(default_factory=list)
    stills: list[Path] = field(default_factory=list)


def find_in_folder(system: System, root: Path) -> Iterator[int]:
    """The cases in a folder and its subfolders, as `cases.find_cases` has it."""
    seen, cases, broken = 0, [], []
    series: dict[str, _Series] = {}
    for folder, folders, names in os.walk(root, onerror=lambda error: broken.append(Path(error.filename).name)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names = sorted(name for name in names if not name.startswith("."))
        stems = {name: _stem(system, name) for name in names}
        cases += _files(system, root, Path(folder), {name: stem for name, stem in stems.items() if stem is not None})
        others = [name for name, stem in stems.items() if stem is None]
        seen += len(names) - len(others)
        yield seen
        for name in others:
            try:
                _collect(Path(folder, name), series)
            except (InputError, OSError):
                broken.append(name)
            seen += 1
            yield seen
    cases += _dicom_cases(system, root, list(series.values()))
    if not cases:
        kinds = ", ".join(dict.fromkeys(role.title for role in system.roles))
        raise InputError(
            f"'{root}' holds no image for {system.module} ({kinds}); name the files after the inputs, as in "
            f"CASE/{system.roles[0].name}.nii.gz, or give a CSV."
        )
    notices = [f"Damaged, or may not be read: {len(broken)} files or folders, such as '{broken[0]}'."] if broken else []
    return Found(_numbered(cases), root, notices)


def _numbered(cases: Sequence[BatchCase]) -> list[BatchCase]:
    """The cases in order of their names, each of which stands once."""
    found: dict[str, BatchCase] = {}
    for case in sorted(cases, key=lambda one: one.name):
        name, count = case.name, 1
        while name in found:
            count += 1
            name = f"{case.name} #{count}"
        found[name] = BatchCase(name, case.images, case.patient or name, case.series, columns=case.columns)
    return list(found.values())


# Image files


def _stem(system: System, name: str) -> str | None:
    """The name without the suffix of an image that some role takes; "" for what is no scan, None for other files."""
    suffixes = set()
    if any(role.film for role in system.roles):
        suffixes |= {*video.SUFFIXES, *stills.SUFFIXES, *stills.SEQUENCES, ".seq.nrrd"}
    if not all(role.film for role in system.roles):
        suffixes |= {*NIFTI, *ITK}
    suffix = max((one for one in suffixes if name.lower().endswith(one)), key=len, default=None)
    if suffix is None:
        return None
    stem = name[: len(name) - len(suffix)]
    return "" if NO_SCANS.search(stem) else stem


def _files(system: System, root: Path, folder: Path, stems: dict[str, str]) -> list[BatchCase]:
    """The cases of one folder: files that are named after roles, or else every file for the first role."""
    place = folder.relative_to(root).as_posix()
    place = "" if place == "." else place
    grouped: dict[str, dict[str, str]] = {}
    for name, stem in stems.items():
        for role in system.roles:
            match = re.fullmatch(rf"(.*?)(^|[ _.-]){re.escape(role.name)}", stem, re.IGNORECASE)
            if match:
                case = "/".join(part for part in (place, match[1]) if part) or folder.name
                grouped.setdefault(case, {}).setdefault(role.name, str(folder / name))
    first = system.roles[0]
    if not grouped and (first.required or len(system.roles) == 1):
        grouped = {
            f"{place}/{stem}" if place else stem: {first.name: str(folder / name)}
            for name, stem in stems.items()
            if stem
        }
    return [BatchCase(case, images) for case, images in grouped.items()]


# DICOM


def _collect(path: Path, series: dict[str, _Series]) -> None:
    """Adds a DICOM image to its series; does nothing for other files.

    Raises:
        InputError: the file is damaged.
    """
    import pydicom

    if not dicom.is_dicom(path):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=list(TAGS))
            _add(path, header, series)
    except OSError:
        raise
    except Exception as error:
        raise InputError(f"'{path.name}' is damaged.") from error


def _add(path: Path, header: Any, series: dict[str, _Series]) -> None:
    modality = str(header.get("Modality") or "")
    is_directory = getattr(header.file_meta, "MediaStorageSOPClassUID", None) == dicom.DICOMDIR_CLASS
    if "Rows" not in header and "SOPClassUID" not in header and not is_directory:
        raise ValueError("no tag can be read")
    if "Rows" not in header or modality in dicom.NOT_IMAGES:
        return
    uid = str(header.get("SeriesInstanceUID") or "")
    one = series.get(uid)
    if one is None:
        kinds = header.get("ImageType") or []
        one = series[uid] = _Series(
            uid=uid,
            study=str(header.get("StudyInstanceUID") or ""),
            patient=str(header.get("PatientID") or ""),
            modality=modality,
            description=str(header.get("SeriesDescription") or ""),
            number=int(header.get("SeriesNumber") or 0),
            is_localizer="LOCALIZER" in [str(kind).upper() for kind in ([kinds] if isinstance(kinds, str) else kinds)],
            folder=path.parent,
        )
    frames = int(header.get("NumberOfFrames") or 1)
    one.frames += frames
    one.folder = Path(os.path.commonpath([one.folder, path.parent]))
    if modality == "US":
        (one.films if frames > 1 else one.stills).append(path)


def _dicom_cases(system: System, root: Path, series: Sequence[_Series]) -> list[BatchCase]:
    series = sorted(series, key=lambda one: (str(one.folder), one.number, one.uid))
    patients = {name: f"patient-{n:04d}" for n, name in enumerate(dict.fromkeys(one.patient for one in series), 1)}
    first = system.roles[0]
    if first.film:
        return _film_cases(first, root, series, patients)
    if first.required or len(system.roles) == 1:
        fit = [one for one in series if _fits(one, first)]
        return [_case(root, {first: one}, patients) for one in fit]
    studies: dict[str, list[_Series]] = {}
    for one in series:
        studies.setdefault(one.study, []).append(one)
    chosen = [{role: found for role in system.roles if (found := _of_role(role, study))} for study in studies.values()]
    return [_case(root, by_role, patients) for by_role in chosen if by_role]


def _fits(one: _Series, role: Role) -> bool:
    return one.modality == role.modality and not one.is_localizer and one.frames >= LEAST_SLICES


def _of_role(role: Role, study: Sequence[_Series]) -> _Series | None:
    """The series whose description names the role as a word ("T2 HASTE" for "t2"); of several that of most slices."""
    word = re.compile(rf"(?<![a-z0-9]){re.escape(role.name)}(?![0-9])", re.IGNORECASE)
    named = [one for one in study if _fits(one, role) and word.search(one.description)]
    return max(named, key=lambda one: (one.frames, -one.number), default=None)


def _case(root: Path, by_role: dict[Role, _Series], patients: dict[str, str]) -> BatchCase:
    found = list(by_role.values())
    place = Path(os.path.commonpath([one.folder for one in found]))
    columns = {f"{role.name}_description": one.description for role, one in by_role.items()}
    return BatchCase(
        name=_place(root, place),
        images={role.name: str(one.folder) for role, one in by_role.items()},
        patient=patients[found[0].patient],
        series={role.name: one.uid for role, one in by_role.items()},
        columns=columns,
    )


def _film_cases(role: Role, root: Path, series: Sequence[_Series], patients: dict[str, str]) -> list[BatchCase]:
    """A case for each file with several frames; where there is none in the tree, for each single image."""
    series = [one for one in series if one.modality == role.modality]
    kind = "films" if any(one.films for one in series) else "stills"
    return [
        BatchCase(
            name=_place(root, path.with_suffix("") if path.suffix.lower() == ".dcm" else path),
            images={role.name: str(path)},
            patient=patients[one.patient],
            columns={f"{role.name}_description": one.description},
        )
        for one in series
        for path in sorted(getattr(one, kind))
    ]


def _place(root: Path, path: Path) -> str:
    return root.name if path == root else path.relative_to(root).as_posix()
