"""One port, one leaf file per engine; heavy imports inside, by name."""
