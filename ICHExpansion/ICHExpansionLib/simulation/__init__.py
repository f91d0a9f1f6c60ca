"""Simulated heads with intracerebral hemorrhage: anatomy, bleeding, CT image formation."""
