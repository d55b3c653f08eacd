"""The commands: one file for each, with `ABOUT`, `add_arguments` and `run`. They may import all four packages."""
