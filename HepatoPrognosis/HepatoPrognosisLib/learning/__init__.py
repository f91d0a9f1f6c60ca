"""Fitting and validation of the three Cox models on a cohort whose Siamese readings are known; a run imports none."""
