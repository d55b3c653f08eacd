"""From items to vectors: batches, the encoder and the embedding store."""
