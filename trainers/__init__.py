"""Trains LLaVE models with the hardness-weighted contrastive loss, and writes checkpoints that `llave run` opens."""
