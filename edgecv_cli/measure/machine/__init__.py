"""What happens to this machine while something is timed on it, as the Linux kernel shows it."""
