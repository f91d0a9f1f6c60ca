"""Two images of one liver side by side: whether they can be T0 and T1, how they look, and where they differ."""
