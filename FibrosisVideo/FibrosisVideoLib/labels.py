"""Names that FibrosisVideo's networks, rows and bundles share: segments, stages and the three networks."""

LIVER = "Liver"
SEGMENTS = (LIVER,)
STAGES = ("F0", "F1", "F2", "F3", "F4")
SIGNIFICANT = 2  # significant fibrosis: this stage or higher
# The product first, then its two rivals. Keys are those of the evidence and of the bundle's readout.
MODELS = {"3d": "3D network", "lstm": "2D network with LSTM", "2d": "2D network on single frames"}
PRODUCT = "3d"
