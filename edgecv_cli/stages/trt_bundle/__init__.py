"""The folder that convert-trt writes where an engine can't be built here: it is built there."""
