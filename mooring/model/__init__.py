"""The nouns: frozen dataclasses, no I/O. Only ``wire`` knows how a report is written down."""
