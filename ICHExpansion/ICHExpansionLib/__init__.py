"""ICHExpansion's library: hematoma on head CT and its risk of expansion. Free of slicer, qt and vtk."""
