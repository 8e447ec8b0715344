"""ONNX graphs in memory: read hardened, normalise, look at structurally, rewrite, write."""
