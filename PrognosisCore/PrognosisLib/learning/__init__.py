"""Training of segmentation networks: patches, the network and the loop. Imported late."""
