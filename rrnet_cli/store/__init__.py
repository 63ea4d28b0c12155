"""Versioned, content-verified artifacts on disk. Knows nothing of graphs or models."""
