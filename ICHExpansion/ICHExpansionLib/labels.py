"""The numbers of the label maps: in training cases, in simulated ones and as classes of the network."""

BACKGROUND, HEMATOMA, VENTRICULAR, EDEMA, EXTRA_AXIAL = range(5)
IGNORE = 255
CLASSES = ("background", "hematoma", "intraventricular hemorrhage", "perihematomal edema", "extra-axial hemorrhage")
SEGMENTS = {
    HEMATOMA: "Hematoma",
    VENTRICULAR: "Intraventricular hemorrhage",
    EDEMA: "Perihematomal edema",
}
