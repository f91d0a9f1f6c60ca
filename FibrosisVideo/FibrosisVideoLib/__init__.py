"""FibrosisVideo: stage of liver fibrosis from an ultrasound cine, without Slicer."""
