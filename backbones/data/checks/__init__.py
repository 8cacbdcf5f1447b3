"""Checks of a dataset's contents, and of the data in a config."""
