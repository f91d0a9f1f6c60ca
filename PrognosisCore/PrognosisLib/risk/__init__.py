"""Risk models and their statistics. Models need numpy alone; fitting.py and evaluation.py are imported late."""

from .models import CoxModel, LogisticModel, Predictor, parse_json, readable_json

__all__ = ["CoxModel", "LogisticModel", "Predictor", "parse_json", "readable_json"]
