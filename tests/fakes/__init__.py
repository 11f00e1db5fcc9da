"""Stand-ins for the far edge, each with a memory of what was asked of it."""
