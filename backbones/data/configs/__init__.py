"""Writing a config that fits a dataset."""
