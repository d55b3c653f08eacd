"""From items to vectors: batches, the encoder and the embedding store."""

DEFAULT_BUDGET = 16_384
"""Largest cost of a batch, padding included: the cost of its longest item times their number."""
CPU_BUDGET = 2_048
"""The same for a network on the CPU, whose caches hold the activations of smaller batches."""


def usual_budget(embedder: object) -> int:
    """Returns the budget of a batch if none is chosen. A network of torch on the CPU has a smaller one."""
    parameters = getattr(getattr(embedder, "network", None), "parameters", None)
    weight = next(iter(parameters()), None) if callable(parameters) else None
    on_cpu = getattr(getattr(weight, "device", None), "type", None) == "cpu"
    return CPU_BUDGET if on_cpu else DEFAULT_BUDGET
