"""One file per command: options, the stage, what is shown."""
