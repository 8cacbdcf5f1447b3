"""What plugs into MMEngine, MMDetection and MMSegmentation."""
