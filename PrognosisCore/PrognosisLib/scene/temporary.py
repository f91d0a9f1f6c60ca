"""Nodes that are in the scene for a while only, without the user being troubled with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer


class TemporaryNodes:
    """Collects what is added to the scene, hides it from selectors and trees, and removes it again."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Every node that is new at the end of the block is temporary. Singletons, which the scene keeps, are not."""
        before = {node.GetID() for node in _all()}
        try:
            yield
        finally:
            new = [node for node in _all() if node.GetID() not in before and not node.IsSingleton()]
            for node in new:
                node.SetHideFromEditors(True)
            self._nodes += new

    def remove(self) -> None:
        """Removes them, those that others refer to last; does nothing for nodes that are gone already.

        Browsers go first: one whose volume is removed makes a new one.
        """
        nodes, self._nodes = self._nodes[::-1], []
        nodes.sort(key=lambda node: not node.IsA("vtkMRMLSequenceBrowserNode"))
        for node in nodes:
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)


def _all() -> list[Any]:
    scene = slicer.mrmlScene
    return [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
