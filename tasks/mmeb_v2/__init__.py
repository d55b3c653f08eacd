"""The video and visual-document tasks of MMEB-V2 (arXiv 2507.04590)."""
