"""What is written about a run: table, provenance, pictures, charts and the report. Imported late."""
