"""FibrosisVideo's pipeline: an ultrasound cine to masks, and masks to stages. Pure: no MRML, no Qt."""

from __future__ import annotations

from .settings import default_settings

__all__ = ["default_settings"]
