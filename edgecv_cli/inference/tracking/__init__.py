"""The same thing from frame to frame: which box continues which track, and who crossed a line."""
