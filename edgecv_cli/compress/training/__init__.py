"""The only torch: an ONNX graph as a differentiable network, tuned, and its weights written back."""
