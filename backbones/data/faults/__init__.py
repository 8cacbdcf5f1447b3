"""Kinds of faults in data, and collecting them."""
