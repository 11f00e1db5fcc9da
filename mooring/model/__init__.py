"""The nouns: frozen dataclasses. No I/O, and nothing but the standard library."""
