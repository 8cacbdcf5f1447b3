"""The page that sums up a training: curves, classes, confusions, and the best and worst images."""
