"""Models that other libraries load: sentence-transformers and mteb."""
