"""From masks to rows: volumes, ABC/2, signs, location, growth, and the risk of expansion."""
