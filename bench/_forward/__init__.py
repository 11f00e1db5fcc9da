"""What `bench/forward` measures, a module for each of its subcommands, and their lab."""
