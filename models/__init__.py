"""ONNX models: cards, a registry of versions, gates, the scorer; `train` fits what we ship."""
