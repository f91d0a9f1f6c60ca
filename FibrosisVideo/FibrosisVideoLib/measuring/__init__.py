"""From the liver's mask and what the networks saw of a cine to rows: probabilities, stages, capsule, flags."""
