"""Risk models. Predicting needs numpy alone; fitting.py is imported late. Their statistics are in `evaluation`."""

from .models import CoxModel, LogisticModel, Predictor, parse_json, readable_json

__all__ = ["CoxModel", "LogisticModel", "Predictor", "parse_json", "readable_json"]
