"""Wrong words: what they were meant to be, and where a right word of another kind is written."""
