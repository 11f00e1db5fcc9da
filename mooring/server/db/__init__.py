"""Storage: an engine, the tables, and a file of functions per table. No layer between."""
