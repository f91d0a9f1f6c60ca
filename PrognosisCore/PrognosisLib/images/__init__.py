"""Images from files and into files: NIfTI, DICOM and what SimpleITK reads, checked and exact in their geometry."""
