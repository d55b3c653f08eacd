"""Servers as models: `http://HOST:PORT/v1#MODEL`, in the dialects in which embeddings are served."""
