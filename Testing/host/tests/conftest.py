from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from host.fixtures import *  # noqa: F403
