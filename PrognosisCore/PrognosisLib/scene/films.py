"""Films of the scene: cines whose frames are the items of a sequence, and the sequences that play with them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import slicer

from ..errors import InputError
from ..volume import Grid
from .places import ROLE, Placement, ijkToLocal, parentToWorld
from .sequences import NOMINAL_RATE, addBrowser, pixelSize, sequenceOf

# The role of sequences that are made here.
FRAMES_ROLE = "frames"
# What MRML adds to a node that shows items.
BASE_NAME = "Sequences.BaseName"
# A step along i or j that differs by less than this part of a frame is along the image.
IN_PLANE = 1e-6


class Track(NamedTuple):
    """A sequence of which a node shows one item, and the browser that chooses it."""

    sequence: object
    browser: object

    @property
    def items(self) -> list:
        """Its data nodes, one for each frame."""
        return [self.sequence.GetNthDataNode(number) for number in range(self.sequence.GetNumberOfDataNodes())]

    def update(self) -> None:
        """The nodes that the browser shows get the content of the chosen item."""
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self.browser)


@dataclass(frozen=True)
class Film:
    """A cine of the scene. `browser` and `volume`, which shows the chosen frame, are None where nothing plays it."""

    sequence: object
    browser: object
    volume: object

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.sequence.GetNumberOfDataNodes()

    @property
    def items(self) -> list:
        """The volume nodes of its frames."""
        return [self.sequence.GetNthDataNode(number) for number in range(self.count)]

    @property
    def grid(self) -> Grid:
        """As Cine.grid of what `toCine` reads."""
        columns, rows, _one = self.sequence.GetNthDataNode(0).GetImageData().GetDimensions()
        row, column = pixelSize(self.sequence, self.browser) or (1.0, 1.0)
        return Grid((self.count, rows, columns), np.diag([-column, -row, 1.0, 1.0]))


def filmOf(node) -> Film | None:
    """The film that a node is, plays or shows; None for no node, or one that is no part of a sequence of flat images.

    Args:
        node: a sequence, its browser, or the volume that shows the chosen frame.
    """
    if node is None:
        return None
    sequence, browser = sequenceOf(node)
    if sequence is None or not sequence.GetNumberOfDataNodes():
        return None
    item = sequence.GetNthDataNode(0)
    image = item.GetImageData() if item is not None and item.IsA("vtkMRMLVolumeNode") else None
    if image is None or image.GetDimensions()[2] != 1:
        return None
    return Film(sequence, browser, browser.GetProxyNode(sequence) if browser is not None else None)


def openFilm(node) -> Film | None:
    """As `filmOf`, with a browser and a volume: they are made where there are none."""
    film = filmOf(node)
    if film is None or film.volume is not None:
        return film
    if film.browser is None:
        addBrowser(film.sequence, NOMINAL_RATE)
    else:
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(film.browser)
    return filmOf(film.sequence)


def shownVolume(node):
    """The volume node that stands for an image: of a film, whichever node is given, the one that shows its frames."""
    film = filmOf(node)
    return node if film is None or film.volume is None else film.volume


def trackOf(node) -> Track | None:
    """The sequence that a node shows an item of, with its browser; None where it shows none."""
    browser = None if node is None else slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(node)
    sequence = None if browser is None else browser.GetSequenceNode(node)
    return None if sequence is None else Track(sequence, browser)


class FilmPlacement(Placement):
    """A Placement for a film: from the cine's coordinates, as Cine.grid has them, to those of its frames' nodes.

    `reference` is the matrix of the first frame, along whose normal the others would follow in a volume of slices.

    Args:
        film: with browser and volume.
        grid: Cine.grid as the run saw it.

    Raises:
        InputError: the film has another number or size of frames by now.
    """

    def __init__(self, film: Film, grid: Grid | None = None) -> None:
        current = film.grid
        self.film, self.volumeNode, self.grid = film, film.volume, current if grid is None else grid
        if self.grid.shape != current.shape:
            raise InputError(f"'{film.volume.GetName()}' was changed during the run; run again.")
        self.transformNode = film.volume.GetParentTransformNode()
        self.toWorld = parentToWorld(film.volume)
        self._frames = [ijkToLocal(item) for item in film.items]
        self.reference = self._frames[0]

    def frameMatrices(self, lattice: Grid) -> list[np.ndarray]:
        """IJK-to-RAS of a lattice's one slice in each frame, in the coordinates that findings share with the volume.

        Raises:
            ValueError: the lattice has not the film's frames along k.
        """
        inFrame = np.linalg.inv(self.grid.ijk_to_ras) @ lattice.ijk_to_ras
        along = (inFrame[2] - (0, 0, 1, 0), inFrame[:2, 2])
        if lattice.shape[0] != self.grid.shape[0] or max(np.abs(part).max() for part in along) > IN_PLANE:
            raise ValueError("Masks and heat maps of a cine must have its frames along k.")
        return [frame @ inFrame for frame in self._frames]

    def worldPlace(self, place: Sequence[float]) -> tuple[int, np.ndarray]:
        """Number of the frame, and the place in world RAS in mm, of one in the coordinates of Cine.grid."""
        i, j, number = (np.linalg.inv(self.grid.ijk_to_ras) @ (*place, 1.0))[:3]
        frame = int(np.clip(np.rint(number), 0, len(self._frames) - 1))
        return frame, (self.toWorld @ self._frames[frame] @ (i, j, 0.0, 1.0))[:3]


def placementOf(volumeNode, grid: Grid | None = None) -> Placement:
    """Where findings on a volume, or on a film, go; `grid` is that of the image as the run saw it."""
    if volumeNode is not None and slicer.mrmlScene.IsNodePresent(volumeNode):
        film = openFilm(volumeNode)
        if film is not None:
            return FilmPlacement(film, grid)
    return Placement(volumeNode, grid)


def play(film: Film, sequence, node, saveChanges: bool, undo: ExitStack) -> None:
    """Lets a node show the items of a sequence in step with the film.

    Args:
        saveChanges: the node shares its content with the item, so that edits of what is shown stay in the sequence.
    """
    browser = film.browser
    wasModifying = browser.StartModify()
    if node.GetAttribute(BASE_NAME) is None:
        undo.callback(node.RemoveAttribute, BASE_NAME)
    browser.AddProxyNode(node, sequence, False)
    undo.callback(_unplay, browser, sequence)
    browser.SetSaveChanges(sequence, saveChanges)
    browser.EndModify(wasModifying)
    Track(sequence, browser).update()


def _unplay(browser, sequence) -> None:
    if browser.IsSynchronizedSequenceNodeID(sequence.GetID(), True):
        browser.RemoveSynchronizedSequenceNode(sequence.GetID())


def newSequence(film: Film, template, name: str):
    """A sequence outside the scene with a copy of a node for each frame of the film, at the same index values."""
    sequence = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSequenceNode")
    sequence.UnRegister(None)
    sequence.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    sequence.SetAttribute(ROLE, FRAMES_ROLE)
    master = film.sequence
    sequence.SetIndexName(master.GetIndexName())
    sequence.SetIndexUnit(master.GetIndexUnit())
    sequence.SetIndexType(master.GetIndexType())
    sequence.SetNumericIndexValueTolerance(master.GetNumericIndexValueTolerance())
    for number in range(film.count):
        sequence.SetDataNodeAtValue(template, master.GetNthIndexValue(number))
    if sequence.GetNumberOfDataNodes() != film.count:
        raise InputError(f"Frames of '{master.GetName()}' have the same index value; load the cine again.")
    return sequence


def removeNode(node) -> None:
    """Removes a node from the scene, with its display and the sequence that it shows if that was made for it."""
    track, stale = trackOf(node), [node]
    if track is not None and track.sequence.GetAttribute(ROLE) == FRAMES_ROLE:
        track.browser.RemoveSynchronizedSequenceNode(track.sequence.GetID())
        stale.append(track.sequence)
    for one in list(stale):
        if one.IsA("vtkMRMLDisplayableNode"):
            stale += [one.GetNthDisplayNode(number) for number in range(one.GetNumberOfDisplayNodes())]
        if one.IsA("vtkMRMLStorableNode"):
            stale.append(one.GetStorageNode())
    for one in stale:
        if one is not None and slicer.mrmlScene.IsNodePresent(one):
            slicer.mrmlScene.RemoveNode(one)
