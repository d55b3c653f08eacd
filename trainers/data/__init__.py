"""Turns training sets into batches of pairs."""
