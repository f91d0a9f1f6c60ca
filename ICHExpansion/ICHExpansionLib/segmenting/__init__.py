"""From slices to masks, the DL score and its heat map."""
