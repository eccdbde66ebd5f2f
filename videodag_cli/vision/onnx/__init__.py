"""Running ONNX detectors: opening a file safely, recognising what its outputs mean, and getting boxes out of pictures."""
