"""HTTP: a file per noun. The only place, with server.app, that knows the web framework."""
