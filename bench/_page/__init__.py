"""The parts of bench/page: a network that is discovered, a browser's memory, and what is measured."""
