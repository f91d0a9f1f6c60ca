"""B-mode image formation: probe, medium, echoes, scan conversion, and a probe that moves while it records."""
