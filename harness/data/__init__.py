"""A task's data, read and checked."""
