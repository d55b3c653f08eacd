"""Dual encoders: CLIP, SigLIP, BLIP-2 and UniIR."""
