"""Blocks of a report, rendered as one HTML file that needs nothing else."""
