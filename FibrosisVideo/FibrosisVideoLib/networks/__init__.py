"""The networks and the lattice of frames that they see."""
