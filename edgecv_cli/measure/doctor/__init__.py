"""What this machine has and lacks: looked at as data, then judged by rules without I/O."""
