"""LLaVE, from its released format."""
