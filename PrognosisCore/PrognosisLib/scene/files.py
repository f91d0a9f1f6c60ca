"""Scenes, segmentations and tables to files: whole or not at all."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import slicer

from ..errors import InputError
from .film_segments import readFilm, writeFilm
from .films import FilmPlacement, filmOf, placementOf, removeNode, trackOf
from .masks import toMasks
from .places import allOrNothing, placeBeside
from .segments import LABELMAP, writeMasks
from .tables import csvRows


def saveScene(path: str | os.PathLike) -> None:
    """Writes the scene with all its data to one .mrb file.

    Raises:
        InputError: another suffix, no such folder, or the file cannot be written; an older file is then still there.
    """
    with _wholeFile(path, (".mrb",)) as (temporary, messages):
        if not slicer.mrmlScene.WriteToMRB(str(temporary), None, messages):
            raise OSError(_reason(messages))
        # MRML does not check the archive it has made.
        with zipfile.ZipFile(temporary) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise OSError(f"{broken} is damaged")


def saveSegmentation(node, path: str | os.PathLike) -> None:
    """Writes a segmentation to a .seg.nrrd file, in its own coordinates as Slicer does (without a parent transform).

    One that plays with a film is written with the frames as slices.

    Raises:
        InputError: another suffix, no such folder, no labelmap segments, or the file cannot be written.
    """
    track = trackOf(node)
    film = None if track is None else filmOf(track.browser)
    if film is not None:
        with _asSlices(node, FilmPlacement(film)) as stack:
            _writeSegmentation(stack, path)
    else:
        _writeSegmentation(node, path)


@contextmanager
def _asSlices(node, placement: FilmPlacement) -> Iterator:
    """A segmentation node with a film's frames as slices, for as long as the block runs."""
    masks = tuple(readFilm(node, placement).values())
    stack = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", node.GetName())
    try:
        writeMasks(masks, stack, placement, ExitStack(), masks[0].grid if masks else None)
        yield stack
    finally:
        removeNode(stack)


def _writeSegmentation(node, path: str | os.PathLike) -> None:
    segmentation = node.GetSegmentation()
    if not segmentation.GetNumberOfSegments():
        raise InputError(f"'{node.GetName()}' has no segments to save; segment the scan first.")
    if segmentation.GetSourceRepresentationName() != LABELMAP:
        raise InputError(
            f"The segments of '{node.GetName()}' are surfaces; make 'Binary labelmap' their source representation in "
            "the Segmentations module before saving."
        )
    with _wholeFile(path, (".seg.nrrd",)) as (temporary, messages):
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        storage.SetFileName(str(temporary))
        isWritten = storage.WriteData(node)
        messages.AddMessages(storage.GetUserMessages())
        if not isWritten:
            raise OSError(_reason(messages))


def loadSegmentation(path: str | os.PathLike, volumeNode=None):
    """Reads a segmentation file (.seg.nrrd, .nrrd, .nii.gz, ...) into a new segmentation node.

    Args:
        volumeNode: the image that was segmented. Where it is a film, the slices are its frames, and the node plays with
            it.

    Raises:
        InputError: no such file, or it holds no segmentation, or not one of the film.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no segmentation file '{path}'; correct the path.")
    try:
        node = slicer.util.loadSegmentation(str(path))
    except RuntimeError as error:
        raise InputError(f"'{path.name}' could not be read as a segmentation; export it as .seg.nrrd.") from error
    return node if filmOf(volumeNode) is None else _asFrames(node, volumeNode)


def _asFrames(stack, filmNode):
    """A segmentation that plays with the film, in place of one whose slices are the frames."""
    try:
        masks, name = toMasks(stack, filmNode), stack.GetName()
    finally:
        removeNode(stack)
    with allOrNothing() as undo:
        placement = placementOf(filmNode)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        placeBeside(node, placement.volumeNode)
        if masks:
            writeFilm(tuple(masks.values()), node, placement, undo)
        undo.pop_all()
    return node


def saveTable(node, path: str | os.PathLike) -> None:
    """Writes a table to a .csv or .tsv file, UTF-8, with all digits and "." as decimal point.

    A results table gives the columns quantity, value, unit, lower, upper, method, note; other tables all of theirs.

    Raises:
        InputError: another suffix, no such folder, or the file cannot be written.
    """
    rows = csvRows(node)
    with (
        _wholeFile(path, (".csv", ".tsv")) as (temporary, _messages),
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, delimiter="\t" if temporary.suffix == ".tsv" else ",").writerows(rows)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _wholeFile(path: str | os.PathLike, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, object]]:
    """A temporary file of the same name beside the wanted one, which it replaces if the block succeeds."""
    path = Path(path)
    if not path.name.lower().endswith(suffixes):
        raise InputError(f"'{path.name}' must end in {' or '.join(suffixes)}; rename it.")
    if not path.parent.is_dir():
        raise InputError(f"There is no folder '{path.parent}'; make it or choose another.")
    folder = None
    try:
        # The scene's files and folders are named after the file, so the temporary one is in a folder of its own.
        folder = tempfile.mkdtemp(prefix=".saving-", dir=path.parent)
        temporary = Path(folder) / path.name
        yield temporary, slicer.vtkMRMLMessageCollection()
        if not temporary.is_file() or temporary.stat().st_size == 0:
            raise OSError("nothing was written")
        os.replace(temporary, path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"'{path}' could not be written ({error}); free disk space or choose a folder you may write to."
        ) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _reason(messages) -> str:
    texts = [messages.GetNthMessageText(index) for index in range(messages.GetNumberOfMessages())]
    return "; ".join(" ".join(text.split()) for text in texts if text) or "the writer gave no reason"
