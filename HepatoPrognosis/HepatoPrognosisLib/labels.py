"""Names that HepatoPrognosis's networks, rows and bundles share: segments, the three models, days."""

LIVER, LIVER_AT_T1 = "Liver", "Liver at T1"
SEGMENTS = (LIVER, LIVER_AT_T1)
# Always shown side by side, in this order.
MODELS = {"clinical": "Clinical model", "siamese": "Siamese U-Net", "combined": "Combined model"}
IN_TEXT = {"clinical": "clinical model", "siamese": "Siamese U-Net", "combined": "combined model"}
# The same, and those that read the network as if there were no T1; each has risk groups of its own.
VARIANTS = (*MODELS, "siamese_t0", "combined_t0")
SECOND_DAY, HORIZON_DAYS, LAST_DAY = 5.0, 30.0, 90.0
GROUPS = ("low", "intermediate", "high")
