"""The parts of `bench/scan`."""
