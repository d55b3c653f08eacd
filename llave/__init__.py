"""The front door: the command line, and what a notebook needs."""
