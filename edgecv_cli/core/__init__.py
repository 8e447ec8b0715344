"""Knows nothing of ONNX, images or terminals: errors, context, files, children, results."""
