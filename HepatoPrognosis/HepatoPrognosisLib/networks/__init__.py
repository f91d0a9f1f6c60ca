"""The Siamese network around both images: its numbers, a frame through it, and the head that reads the risk."""
