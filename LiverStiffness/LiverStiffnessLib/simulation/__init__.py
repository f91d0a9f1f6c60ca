"""Simulated MR examinations: stiffness and the signs that it drives, anatomy, tissues, image formation."""
