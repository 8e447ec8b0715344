"""An ONNX graph as a network that can be trained, and weights written back; torch is only here."""
