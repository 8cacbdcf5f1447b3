"""Reading datasets in the layouts of many programs."""
