"""Compares models query by query."""
