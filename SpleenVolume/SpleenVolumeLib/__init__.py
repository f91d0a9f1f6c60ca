"""SpleenVolume: spleen segmentation and volumetry on abdominal CT, without Slicer or Qt."""
