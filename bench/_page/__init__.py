"""The parts of bench/page: a network that is found, a browser's memory, what is measured."""
