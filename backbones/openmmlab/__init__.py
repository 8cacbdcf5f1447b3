"""Integration with MMEngine, MMDetection and MMSegmentation."""
