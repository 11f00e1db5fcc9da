"""Discovery: sees machines, networks and services, and tells them as nouns. Changes nothing."""
