"""Evidence to plan, plan and graph to graph."""
