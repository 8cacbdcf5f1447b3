"""What the command-line tools share: configs, devices, checks before the start, reports."""
