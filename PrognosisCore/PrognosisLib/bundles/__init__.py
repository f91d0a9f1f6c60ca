"""Model bundles: written, verified, kept, and their networks run by ONNX Runtime or torch."""
