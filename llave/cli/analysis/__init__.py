"""The commands that analyse what exists already."""
