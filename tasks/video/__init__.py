"""Text-video retrieval and its annotation formats."""
