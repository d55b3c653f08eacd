"""Embedders made from generative vision-language models, with a recipe for each checkpoint."""
