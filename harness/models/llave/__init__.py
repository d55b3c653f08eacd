"""LLaVE, in the format of its released checkpoints."""
