"""From slices to masks and the DL score: lattice, network, attention, heat map."""
