"""Simulated patients with HBV-ACLF: what causes signs, laboratory values and outcomes, and the best possible model."""
