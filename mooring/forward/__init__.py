"""Every port that a remote Docker host publishes, on localhost, always."""
