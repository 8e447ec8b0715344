"""A file that knows what it is and where it came from."""
