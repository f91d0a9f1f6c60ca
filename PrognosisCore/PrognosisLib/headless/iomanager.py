"""``slicer.app.coreIOManager()``: what slicer.util's load and save functions ask of it, over the real MRML logics."""

from __future__ import annotations

import os
from pathlib import Path

import vtk

__all__ = ["CoreIOManager"]

# Checked in this order, because a longer suffix contains a shorter one.
FILE_TYPES = (
    ((".seg.nrrd", ".seg.nhdr", ".seg.vtm"), "SegmentationFile"),
    ((".seq.nrrd", ".seq.nhdr", ".seq.mrb"), "SequenceFile"),
    ((".mrk.json", ".fcsv"), "MarkupsFile"),
    ((".mrb", ".mrml", ".mrml.zip"), "SceneFile"),
    ((".tsv", ".csv"), "TableFile"),
    ((".h5", ".tfm", ".mat"), "TransformFile"),
    ((".vtk", ".vtp", ".stl", ".obj", ".ply"), "ModelFile"),
    ((".ctbl", ".cxml"), "ColorTableFile"),
    ((".txt", ".json", ".xml"), "TextFile"),
    (
        (
            ".nrrd",
            ".nhdr",
            ".nii",
            ".nii.gz",
            ".mha",
            ".mhd",
            ".hdr",
            ".img",
            ".mgz",
            ".dcm",
            ".png",
            ".jpg",
            ".jpeg",
            ".tif",
            ".tiff",
        ),
        "VolumeFile",
    ),
)

NODE_FILE_TYPES = (
    ("vtkMRMLVolumeNode", "VolumeFile"),
    ("vtkMRMLSegmentationNode", "SegmentationFile"),
    ("vtkMRMLTableNode", "TableFile"),
    ("vtkMRMLSequenceNode", "SequenceFile"),
    ("vtkMRMLModelNode", "ModelFile"),
    ("vtkMRMLTransformNode", "TransformFile"),
    ("vtkMRMLMarkupsNode", "MarkupsFile"),
    ("vtkMRMLColorTableNode", "ColorTableFile"),
    ("vtkMRMLTextNode", "TextFile"),
)

VOLUME_OPTIONS = {"labelmap": 0x1, "center": 0x2, "singleFile": 0x4, "autoWindowLevel": 0x8, "discardOrientation": 0x10}


class CoreIOManager:
    """Reads and writes node files and scenes."""

    def __init__(self, scene: object, logics: dict[str, object]) -> None:
        self._scene = scene
        self._logics = logics

    # Reading

    def fileType(self, fileName: str | os.PathLike) -> str:
        """The file type Slicer would choose by the file's name, ``NoFile`` if none fits."""
        name = str(fileName).lower()
        for suffixes, fileType in FILE_TYPES:
            if name.endswith(suffixes):
                return _nrrdFileType(fileName) if name.endswith((".nrrd", ".nhdr")) else fileType
        return "NoFile"

    def loadNodes(self, fileType: str, properties: dict, loadedNodes=None, userMessages=None) -> bool:
        """Loads a file into the scene.

        :param properties: Slicer's reader options with ``fileName``.
        :param loadedNodes: vtkCollection that receives the nodes.
        :param userMessages: vtkMRMLMessageCollection that receives what went wrong.
        """
        fileName = str(properties["fileName"])
        reader = {
            "VolumeFile": self._loadVolume,
            "SegmentationFile": self._loadSegmentation,
            "TableFile": self._loadTable,
            "SequenceFile": self._loadSequence,
            "SceneFile": self._loadScene,
            "ModelFile": self._loadModel,
            "TransformFile": self._loadTransform,
            "MarkupsFile": self._loadMarkups,
            "ColorTableFile": self._loadColorTable,
            "TextFile": self._loadText,
        }.get(fileType)
        if reader is None:
            _addError(userMessages, f"There is no reader for {fileName} ({fileType}).")
            return False
        if not os.path.exists(fileName):
            _addError(userMessages, f"There is no file {fileName}.")
            return False
        nodes = reader(fileName, properties, userMessages)
        if nodes is None:
            _addError(userMessages, f"{fileName} could not be read as {fileType}.")
            return False
        for node in nodes:
            if loadedNodes is not None:
                loadedNodes.AddItem(node)
        return True

    def _select(self, node, setter: str, propagate: str, *args) -> None:
        applicationLogic = self._logics["Application"]
        getattr(applicationLogic.GetSelectionNode(), setter)(node.GetID())
        getattr(applicationLogic, propagate)(*args)

    def _loadVolume(self, fileName: str, properties: dict, _messages) -> list | None:
        options = sum(flag for name, flag in VOLUME_OPTIONS.items() if properties.get(name))
        files = None
        if "fileNames" in properties:
            files = vtk.vtkStringArray()
            for name in properties["fileNames"]:
                files.InsertNextValue(str(name))
        name = properties.get("name", Path(fileName).name.split(".")[0])
        node = self._logics["Volumes"].AddArchetypeVolume(fileName, name, options, files)
        if node is None:
            return None
        if properties.get("colorNodeID") and node.GetDisplayNode():
            node.GetDisplayNode().SetAndObserveColorNodeID(properties["colorNodeID"])
        if properties.get("show", True):
            isLabelmap = node.IsA("vtkMRMLLabelMapVolumeNode")
            setter = "SetActiveLabelVolumeID" if isLabelmap else "SetActiveVolumeID"
            self._select(node, setter, "PropagateVolumeSelection")
        return [node]

    def _loadSegmentation(self, fileName: str, properties: dict, messages) -> list | None:
        colorNode = self._scene.GetNodeByID(properties["colorNodeID"]) if properties.get("colorNodeID") else None
        logic = self._logics["Segmentations"]
        autoOpacities = properties.get("autoOpacities", True)
        node = logic.LoadSegmentationFromFile(fileName, autoOpacities, properties.get("name", ""), colorNode, messages)
        return None if node is None else [node]

    def _loadTable(self, fileName: str, properties: dict, messages) -> list | None:
        name = self._scene.GetUniqueNameByString(properties.get("name", Path(fileName).name.split(".")[0]))
        node = self._logics["Tables"].AddTable(fileName, name, True, "", messages)
        if node is None:
            return None
        self._select(node, "SetActiveTableID", "PropagateTableSelection")
        return [node]

    def _loadSequence(self, fileName: str, properties: dict, messages) -> list | None:
        logic = self._logics["Sequences"]
        node = logic.AddSequence(fileName, messages)
        if node is None:
            return None
        if "name" in properties:
            node.SetName(self._scene.GetUniqueNameByString(properties["name"]))
        if not properties.get("show", True):
            return [node]
        browser = self._scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{node.GetName()} browser")
        browser.SetAndObserveMasterSequenceNodeID(node.GetID())
        logic.UpdateProxyNodesFromSequences(browser)
        proxy = browser.GetProxyNode(node)
        if proxy is not None and proxy.IsA("vtkMRMLVolumeNode"):
            self._select(proxy, "SetActiveVolumeID", "PropagateVolumeSelection")
        return [node, browser]

    def _loadScene(self, fileName: str, properties: dict, messages) -> list | None:
        if fileName.lower().endswith(".mrb"):
            isRead = self._scene.ReadFromMRB(fileName, bool(properties.get("clear", False)), messages)
        else:
            self._scene.SetURL(fileName)
            isRead = (self._scene.Connect if properties.get("clear", False) else self._scene.Import)(messages)
        return [] if isRead else None

    def _loadModel(self, fileName: str, properties: dict, messages) -> list | None:
        coordinateSystem = properties.get("coordinateSystem", 1)
        node = self._logics["Models"].AddModel(fileName, coordinateSystem, messages)
        return None if node is None else [_renamed(node, properties)]

    def _loadTransform(self, fileName: str, properties: dict, messages) -> list | None:
        node = self._logics["Transforms"].AddTransform(fileName, self._scene, messages)
        return None if node is None else [_renamed(node, properties)]

    def _loadMarkups(self, fileName: str, properties: dict, messages) -> list | None:
        nodeID = self._logics["Markups"].LoadMarkups(fileName, properties.get("name"), messages)
        return [self._scene.GetNodeByID(nodeID)] if nodeID else None

    def _loadColorTable(self, fileName: str, properties: dict, _messages) -> list | None:
        node = self._logics["Colors"].LoadColorFile(fileName, properties.get("name", Path(fileName).stem))
        return None if node is None else [node]

    def _loadText(self, fileName: str, properties: dict, _messages) -> list | None:
        node = self._scene.AddNewNodeByClass("vtkMRMLTextNode", properties.get("name", Path(fileName).stem))
        storage = node.CreateDefaultStorageNode()
        self._scene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(fileName)
        if storage.ReadData(node):
            return [node]
        self._scene.RemoveNode(node)
        return None

    # Writing

    def fileWriterFileType(self, node) -> str:
        """The file type a node is written as, ``NoFile`` if it cannot be written."""
        return next((fileType for name, fileType in NODE_FILE_TYPES if node.IsA(name)), "NoFile")

    def fileWriterExtensions(self, node) -> tuple[str, ...]:
        """The formats a node can be written in, as Slicer shows them: ``NRRD (.nrrd)``."""
        types = node.CreateDefaultStorageNode().GetSupportedWriteFileTypes()
        return tuple(types.GetValue(index) for index in range(types.GetNumberOfValues()))

    def extractKnownExtension(self, fileName: str, node) -> str:
        """The longest of the node's writable suffixes that the name ends with, with its dot; empty if none."""
        from slicer import vtkDataFileFormatHelper

        known = [
            vtkDataFileFormatHelper.GetFileExtensionFromFormatString(text) for text in self.fileWriterExtensions(node)
        ]
        fitting = [suffix for suffix in known if str(fileName).lower().endswith(suffix.lower())]
        return max(fitting, key=len, default="")

    def saveNodes(self, fileType: str, properties: dict, userMessages=None) -> bool:
        """Writes one node (``nodeID``) or, as ``SceneFile``, the scene to ``fileName``."""
        fileName = str(properties["fileName"])
        if fileType == "SceneFile":
            return self._saveScene(fileName, userMessages)
        node = self._scene.GetNodeByID(properties["nodeID"])
        storage = _storageNode(node)
        if storage is None:
            _addError(userMessages, f"{properties['nodeID']} cannot be written to a file.")
            return False
        storage.SetFileName(fileName)
        storage.SetURI(None)
        return _write(storage, node, properties, userMessages)

    def exportNodes(self, nodeIDs, fileNames, properties: dict, hardenTransforms: bool, userMessages=None) -> bool:
        """Writes nodes without touching their storage nodes."""
        if hardenTransforms:
            raise NotImplementedError("Exporting in world coordinates is not stood in for outside Slicer.")
        for nodeID, fileName in zip(nodeIDs, fileNames, strict=True):
            node = self._scene.GetNodeByID(nodeID)
            storage = node.CreateDefaultStorageNode()
            storage.SetFileName(str(fileName))
            if not _write(storage, node, properties, userMessages):
                return False
        return True

    def _saveScene(self, fileName: str, messages) -> bool:
        suffix = Path(fileName).suffix.lower()
        if suffix == ".mrb":
            return bool(self._scene.WriteToMRB(fileName, None, messages))
        if suffix == ".mrml":
            self._scene.SetURL(fileName)
            return bool(self._scene.Commit(fileName, messages))
        return bool(self._scene.SaveSceneToSlicerDataBundleDirectory(fileName, None, messages))

    def registeredFileReaderCount(self, fileType: str) -> int:
        """How many readers there are for a file type."""
        return int(any(fileType == known for _suffixes, known in FILE_TYPES))


def _storageNode(node):
    if node.GetStorageNode() is None and not node.AddDefaultStorageNode():
        return None
    return node.GetStorageNode()


def _write(storage, node, properties: dict, messages) -> bool:
    if properties.get("fileFormat"):
        storage.SetWriteFileFormat(properties["fileFormat"])
    if "useCompression" in properties:
        storage.SetUseCompression(int(properties["useCompression"]))
    isWritten = bool(storage.WriteData(node))
    if messages is not None:
        messages.AddMessages(storage.GetUserMessages())
    return isWritten


def _renamed(node, properties: dict):
    if "name" in properties:
        node.SetName(node.GetScene().GetUniqueNameByString(properties["name"]))
    return node


def _addError(messages, text: str) -> None:
    if messages is not None:
        messages.AddMessage(vtk.vtkCommand.ErrorEvent, text)


def _nrrdFileType(fileName: str | os.PathLike) -> str:
    """A NRRD file may hold a volume, a segmentation or a sequence; its header tells."""
    name = str(fileName).lower()
    if name.endswith((".seg.nrrd", ".seg.nhdr")):
        return "SegmentationFile"
    if name.endswith((".seq.nrrd", ".seq.nhdr")):
        return "SequenceFile"
    try:
        with open(fileName, "rb") as file:
            header = file.read(800).decode("latin-1")
    except OSError:
        return "VolumeFile"
    if "Segment0_ID:=" in header or "Segmentation_" in header:
        return "SegmentationFile"
    kinds = next((line for line in header.splitlines() if line.startswith("kinds:")), "")
    isSequence = "dimension: 4" in header and ("list" in kinds.split() or "time" in kinds.split())
    return "SequenceFile" if isSequence else "VolumeFile"
