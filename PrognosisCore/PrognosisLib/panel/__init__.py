"""What every module's panel shares: `SystemWidget` with its sections, over Resources/UI/SystemPanel.ui.

A module brings a .ui with the sections "inputsSection" and "settingsSection", a parameter node class derived from
`SystemParameters`, and a short `SystemWidget` subclass. Widgets compute nothing: numbers come from the module's logic.
"""

from .parameters import Device, SystemParameters
from .widget import SystemWidget

__all__ = ["Device", "SystemParameters", "SystemWidget"]
