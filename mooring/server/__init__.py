"""The server: stores what the capabilities report, and tells it. Knows nothing of how they work."""
