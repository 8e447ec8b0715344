"""Accuracy, agreement, latency, footprint and hardware, each with how it was measured."""
