"""The slice views: where they are, and a heat map over the scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from .films import FilmPlacement, openFilm, shownVolume
from .places import Placement, volumeOf
from .sequences import toCine

HEAT_MAP_OPACITY = 0.5


def jumpTo(place: Sequence[float], filmNode: Any = None) -> None:
    """Moves all slice views to the slices through a place; zoom and pan stay as they are.

    Args:
        place: world RAS in mm.
        filmNode: the film that the place belongs to, if it does. The place is then in the coordinates of Cine.grid,
            whose third is the number of the frame, and this frame is shown.
    """
    film = None if filmNode is None else openFilm(filmNode)
    if film is not None:
        number, place = FilmPlacement(film).worldPlace(place)
        film.browser.SetSelectedItemNumber(number)
    elif filmNode is not None:  # a volume whose slices are the frames
        toRun = Placement(filmNode, toCine(filmNode).grid).worldToRun
        place = (np.linalg.inv(toRun) @ (*place, 1.0))[:3]
    r, a, s = (float(part) for part in place)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, r, a, s, slicer.vtkMRMLSliceNode.OffsetJumpSlice)


@dataclass(frozen=True)
class _Layers:
    """What one slice view showed before, and shows now: nodes, not IDs, which a closed scene gives to others."""

    view: Any
    background: Any
    foreground: Any
    opacity: float
    heatMap: Any
    volume: Any


class HeatMapOverlay:
    """Shows a heat map over its volume in all slice views, and brings back what they showed before.

    Views that show another image, which has a heat map of its own, get that one.
    """

    def __init__(self) -> None:
        self._heatMap: Any = None
        self._former: list[_Layers] = []

    @property
    def heatMap(self) -> Any:
        """The heat map's volume node that is shown; None where there is none."""
        return self._heatMap

    def show(self, heatMap: Any, volumeNode: Any, others: Sequence[Any] = ()) -> None:
        """Puts the heat map half transparent over the volume.

        Args:
            others: heat maps of other images, for the views that show these.
        """
        self.hide()
        self._heatMap = heatMap
        elsewhere = {volumeOf(one): one for one in reversed(others)}
        for view in _views():
            former = (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID())
            background, foreground = (slicer.mrmlScene.GetNodeByID(one) if one else None for one in former)
            own, volume = heatMap, shownVolume(volumeNode)
            if background is not None and background in elsewhere:
                own, volume = elsewhere[background], background
            self._former.append(_Layers(view, background, foreground, view.GetForegroundOpacity(), own, volume))
            with slicer.util.NodeModify(view):
                view.SetBackgroundVolumeID(volume.GetID())
                view.SetForegroundVolumeID(own.GetID())
                view.SetForegroundOpacity(HEAT_MAP_OPACITY)

    def adopt(self, heatMap: Any, volumeNode: Any) -> bool:
        """Takes over a heat map that views show already, as in a scene that was saved so; says whether any does."""
        showing = [view for view in _views() if view.GetForegroundVolumeID() == heatMap.GetID()]
        if showing and self._heatMap is None:
            volume = shownVolume(volumeNode)
            self._heatMap = heatMap
            self._former = [_Layers(view, volume, None, 0.0, heatMap, volume) for view in showing]
        return bool(showing)

    def hide(self) -> None:
        """Views that still show the heat map get their former layers back; what the user has changed stays."""
        self._heatMap = None
        former, self._former = self._former, []
        for layers in former:
            if not _isThere(layers.view) or layers.view.GetForegroundVolumeID() != layers.heatMap.GetID():
                continue
            with slicer.util.NodeModify(layers.view):
                if layers.view.GetBackgroundVolumeID() == layers.volume.GetID():
                    layers.view.SetBackgroundVolumeID(_idOf(layers.background))
                layers.view.SetForegroundVolumeID(_idOf(layers.foreground))
                layers.view.SetForegroundOpacity(layers.opacity)


def _views() -> list:
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def _isThere(node: Any) -> bool:
    return node is not None and bool(slicer.mrmlScene.IsNodePresent(node))


def _idOf(node: Any) -> str | None:
    return node.GetID() if _isThere(node) else None
