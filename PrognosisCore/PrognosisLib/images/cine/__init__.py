"""Cines (ultrasound films): read from DICOM, video, sequences or numbered images, checked, masked to the sector."""
