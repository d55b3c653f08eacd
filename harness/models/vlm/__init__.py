"""Embedders made from generative vision-language models: one recipe for each checkpoint."""
