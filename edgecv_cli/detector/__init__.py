"""What a detector is: its spec, how it is recognised, fed and decoded."""
