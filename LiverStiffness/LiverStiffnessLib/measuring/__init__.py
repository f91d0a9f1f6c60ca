"""From masks and slice features to rows: volumes, stiffness probabilities, stages."""
