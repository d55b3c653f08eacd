"""The training step, the backends that hold the weights, and checkpoints."""
