"""Scans seen slice by slice: their own slices, a 2D multi-task network, and what it saw back on the scan."""
