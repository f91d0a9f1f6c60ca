"""Simulated patients with liver fibrosis and their ultrasound cines."""
