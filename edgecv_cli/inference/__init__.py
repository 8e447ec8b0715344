"""From pictures to detections: predictor, calibration feed, sources, sinks, EdgeDetector."""
