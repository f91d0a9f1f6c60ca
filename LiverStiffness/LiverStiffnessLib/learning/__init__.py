"""Training, fitting, validation and packing of LiverStiffness's model bundle; needs torch."""
