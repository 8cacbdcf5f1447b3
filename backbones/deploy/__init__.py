"""Models as ONNX files: what is exported, how the file is made, and what else it computes."""
