"""Every command's options, with defaults, units and help: pydantic and core only."""
