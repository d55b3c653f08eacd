"""The hardness-weighted loss: tiled, gathered across processes, with gradient caching."""
