"""Simulated patients: procedural anatomy, image formation and documented causal models."""
