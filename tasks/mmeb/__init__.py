"""MMEB's 36 datasets and their layouts on disk and on the hub."""
