"""Images and videos: open, check, decode and digest them."""
