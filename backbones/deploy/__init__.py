"""Exporting models to files: what can be exported, how, and how the result is verified."""
