"""LiverStiffness: MRE stiffness class from T1- and T2-weighted MR images, without Slicer."""
