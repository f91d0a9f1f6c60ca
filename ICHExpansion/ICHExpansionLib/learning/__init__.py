"""Training, measuring and packing of the bundle; never imported by a run."""
