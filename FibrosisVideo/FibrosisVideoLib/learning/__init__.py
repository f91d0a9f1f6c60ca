"""Training, fitting and measuring FibrosisVideo's networks."""
