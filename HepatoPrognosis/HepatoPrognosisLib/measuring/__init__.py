"""From masks, the network's readings and clinical values to rows: mortality by three models, points, change."""
