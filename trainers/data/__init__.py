"""From training sets to batches of pairs."""
