"""One stage one file: read, decide, measure, publish; the command line calls these."""
