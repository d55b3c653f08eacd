"""From items to vectors: batches, the encoder and the embedding store."""

DEFAULT_BUDGET = 16_384
"""Largest cost of a batch, padding included: the cost of its longest item times their number."""
