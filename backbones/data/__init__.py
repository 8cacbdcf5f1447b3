"""The user's own data: what is there, and what is wrong with it."""
