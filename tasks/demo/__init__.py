"""The demo suite: drawn by code, needs no download."""
