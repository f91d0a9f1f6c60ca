"""Head CT as images: the inside of the skull, its frame, checks of the input, registration by the skull."""
