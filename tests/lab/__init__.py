"""Real hosts and links in network namespaces, joined to nothing outside of them."""
