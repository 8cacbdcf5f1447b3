"""The user's own data: its layouts, its contents and its faults."""
