"""From MR images to slices, masks, slice features and the heat map."""
