"""The results page of a training run: curves, classes, confusions, best and worst images."""
