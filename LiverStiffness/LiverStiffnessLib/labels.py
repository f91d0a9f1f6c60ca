"""Classes of LiverStiffness's network and label maps, and the names of its segments."""

BACKGROUND, LIVER, SPLEEN, ASCITES = range(4)
CLASSES = ("background", "Liver", "Spleen", "Ascites")
SEGMENTS = {LIVER: "Liver", SPLEEN: "Spleen", ASCITES: "Ascites"}
LIVER_ON_T1 = "Liver on T1"
THRESHOLDS_KPA = (2.5, 3.0, 3.5, 4.0, 5.0)
