"""Structured pruning: whole channels leave the graph, which becomes smaller."""
