"""What TensorRT asks of an ONNX graph: rules as data, checks, and repairs."""
