"""A small panel as Slicer's template has it, and a way to spoil one line of it."""

from __future__ import annotations

from pathlib import Path

MODULE = """
import enum
from typing import Annotated
import ctk, qt, vtk, slicer
from slicer.i18n import tr as _, translate
from slicer.ScriptedLoadableModule import *
from slicer.parameterNodeWrapper import parameterNodeWrapper, WithinRange, Choice
from slicer.util import VTKObservationMixin


class Panel(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Panel")
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    import SampleData
    SampleData.SampleDataLogic.registerCustomSampleDataSource(category="Panel", sampleName="PanelDemo")


class Quality(enum.Enum):
    FAST = "fast"
    FULL = "full"


@parameterNodeWrapper
class PanelParameterNode:
    inputVolume: slicer.vtkMRMLScalarVolumeNode
    threshold: Annotated[float, WithinRange(0, 100)] = 50
    invert: bool = False
    note: str = "none"
    device: Annotated[str, Choice(["auto", "cpu"])] = "auto"
    quality: Quality = Quality.FULL


class PanelWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/Panel.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = PanelLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.timer = qt.QTimer()
        self.timer.setSingleShot(True)
        self.timer.connect("timeout()", self.onTimeout)
        # SETUP
        self.initializeParameterNode()

    def cleanup(self):
        self.timer.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, node):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = node
        if node:
            self._guiTag = node.connectGui(self.ui)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
            self._checkCanApply()

    def _checkCanApply(self, caller=None, event=None):
        ready = self._parameterNode.inputVolume is not None
        self.ui.applyButton.enabled = ready
        self.ui.applyButton.toolTip = _("Run") if ready else _("Select a volume")

    def onApplyButton(self):
        with slicer.util.tryWithErrorDisplay(_("Failed."), waitCursor=True):
            # APPLY
            count = self.logic.process(self._parameterNode.inputVolume, self._parameterNode.threshold)
            self.ui.resultLabel.text = _("{count} voxels").format(count=count)
            self.ui.resultTable.setMRMLTableNode(self.logic.table)
            self.timer.start(10)

    def onTimeout(self):
        # TIMEOUT
        self.ui.statusLabel.text = "done"


class PanelLogic(ScriptedLoadableModuleLogic):
    table = None

    def getParameterNode(self):
        return PanelParameterNode(super().getParameterNode())

    def process(self, volume, threshold):
        # PROCESS
        if volume is None:
            raise ValueError("There is no volume.")
        array = slicer.util.arrayFromVolume(volume)
        self.table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Results")
        slicer.util.updateTableFromArray(self.table, array.ravel()[:3].astype(float), ["value"])
        return int((array >= threshold).sum())


class PanelTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_process(self):
        import numpy as np
        volume = slicer.util.addVolumeFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
        self.assertEqual(PanelLogic().process(volume, 20), 4)
"""

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Panel</class>
 <widget class="qMRMLWidget" name="Panel">
  <layout class="QVBoxLayout" name="verticalLayout">
   <item>
    <widget class="ctkCollapsibleButton" name="inputsButton">
     <property name="text"><string>Inputs</string></property>
     <layout class="QFormLayout" name="formLayout">
      <item row="0" column="0">
       <widget class="QLabel" name="volumeLabel">
        <property name="text"><string>Volume:</string></property>
        <property name="buddy"><cstring>inputSelector</cstring></property>
       </widget>
      </item>
      <item row="0" column="1">
       <widget class="qMRMLNodeComboBox" name="inputSelector">
        <property name="nodeTypes">
         <stringlist notr="true"><string>vtkMRMLScalarVolumeNode</string></stringlist>
        </property>
        <property name="addEnabled"><bool>false</bool></property>
        <property name="noneEnabled"><bool>true</bool></property>
        <property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property>
       </widget>
      </item>
      <item row="1" column="1">
       <widget class="ctkSliderWidget" name="thresholdSlider">
        <property name="singleStep"><double>0.5</double></property>
        <property name="SlicerParameterName" stdset="0"><string>threshold</string></property>
       </widget>
      </item>
      <item row="2" column="1">
       <widget class="QCheckBox" name="invertCheckBox">
        <property name="text"><string>Invert</string></property>
        <property name="SlicerParameterName" stdset="0"><string>invert</string></property>
       </widget>
      </item>
      <item row="3" column="1">
       <widget class="QLineEdit" name="noteEdit">
        <property name="SlicerParameterName" stdset="0"><string>note</string></property>
       </widget>
      </item>
      <item row="4" column="1">
       <widget class="QComboBox" name="deviceCombo">
        <property name="SlicerParameterName" stdset="0"><string>device</string></property>
       </widget>
      </item>
      <item row="5" column="1">
       <widget class="QComboBox" name="qualityCombo">
        <property name="SlicerParameterName" stdset="0"><string>quality</string></property>
       </widget>
      </item>
     </layout>
    </widget>
   </item>
   <item>
    <widget class="QPushButton" name="applyButton"><property name="text"><string>Apply</string></property></widget>
   </item>
   <item><widget class="QLabel" name="resultLabel"><property name="text"><string/></property></widget></item>
   <item>
    <widget class="QLabel" name="statusLabel"><property name="text"><string>idle</string></property></widget>
   </item>
   <item><widget class="qMRMLTableView" name="resultTable"/></item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header><container>1</container></customwidget>
 </customwidgets>
 <resources/>
 <connections>
  <connection>
   <sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
  </connection>
  <connection>
   <sender>invertCheckBox</sender><signal>toggled(bool)</signal>
   <receiver>statusLabel</receiver><slot>setDisabled(bool)</slot>
  </connection>
 </connections>
</ui>
"""


def write_panel(folder: Path, code: tuple[str, str] | None = None, ui: tuple[str, str] | None = None) -> Path:
    """Writes the panel's module folder, with one text replaced in its source or in its .ui file."""
    module, form = MODULE, UI
    if code is not None:
        assert code[0] in module
        module = module.replace(*code, 1)
    if ui is not None:
        assert ui[0] in form
        form = form.replace(*ui, 1)
    (folder / "Resources" / "UI").mkdir(parents=True)
    (folder / "Panel.py").write_text(module, encoding="utf-8")
    (folder / "Resources" / "UI" / "Panel.ui").write_text(form, encoding="utf-8")
    return folder
