"""What the ultrasound systems share: one lattice for the frames of all probes, and what a frame must show."""
