"""Export models as ONNX files: what can be exported, how, and how the result is verified."""
