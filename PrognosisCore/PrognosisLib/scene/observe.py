"""Watches a segmentation for edits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import slicer

from .films import trackOf

BURST_MS = 300


class SegmentationObserver:
    """Calls back when voxels, names or the number of segments of one segmentation node, or its transform, change.

    Colors, visibility and other display do not count, nor that it shows another frame of a film. Edits of any frame do.
    Many changes within `BURST_MS` make one call. Where Qt runs no
    event loop, a change calls at once.
    """

    def __init__(self, node, callback: Callable[[], None]) -> None:
        self._node = node
        self._callback = callback
        track = trackOf(node)
        if track is not None:
            # After loading a scene, a node shares its segments with the frame's item only from the next update on.
            track.update()
        self._seen = self._signature()
        self._generation = 0
        segmentation = slicer.vtkSegmentation
        events = (
            segmentation.SourceRepresentationModified,
            segmentation.SegmentAdded,
            segmentation.SegmentRemoved,
            segmentation.SegmentModified,
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
        )
        self._tags = [node.AddObserver(event, self._onEvent) for event in events]

    def remove(self) -> None:
        """Ends the watching; a call that was still to come is not made. May be called again."""
        for tag in self._tags:
            self._node.RemoveObserver(tag)
        self._tags = []

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Changes made within are not reported."""
        tags, self._tags = self._tags, []
        try:
            yield
        finally:
            self._tags = tags
            self._seen = self._signature()

    def _onEvent(self, _caller, _event) -> None:
        if not self._tags:
            return
        self._generation += 1
        generation = self._generation
        _later(lambda: self._report(generation))

    def _report(self, generation: int) -> None:
        scene = self._node.GetScene()
        # Of a burst only the last event counts; a node without a scene was deleted.
        if generation != self._generation or not self._tags or scene is None or scene.IsClosing():
            return
        signature = self._signature()
        if signature != self._seen:
            self._seen = signature
            self._callback()

    def _signature(self) -> tuple:
        """Changes with everything that counts as an edit."""
        parent, track = self._node.GetParentTransformNode(), trackOf(self._node)
        parts: list = [parent.GetID() if parent else "", parent.GetTransformToWorldMTime() if parent else 0]
        for node in [self._node] if track is None else track.items:
            segmentation = node.GetSegmentation()
            source = segmentation.GetSourceRepresentationName()
            for segmentID in segmentation.GetSegmentIDs():
                segment = segmentation.GetSegment(segmentID)
                data = segment.GetRepresentation(source)
                place = (data.GetAddressAsString(""), data.GetMTime()) if data is not None else ()
                parts.append((segmentID, segment.GetName(), segment.GetLabelValue(), *place))
        return tuple(parts)


def _later(function: Callable[[], None]) -> None:
    try:
        import qt
    except ImportError:
        qt = None
    if qt is None or getattr(qt, "isPlaceholder", False):
        function()
    else:
        qt.QTimer.singleShot(BURST_MS, function)


def observeSegmentation(node, callback: Callable[[], None]) -> SegmentationObserver:
    """Calls `callback()` once per burst of edits of a segmentation node; give the result to `removeObserver`."""
    return SegmentationObserver(node, callback)


def removeObserver(observer: SegmentationObserver | None) -> None:
    """Ends an observation; None and an ended one are fine."""
    if observer is not None:
        observer.remove()
