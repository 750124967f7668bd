"""Replay: every frame stored once, everything else computed when sampled."""
