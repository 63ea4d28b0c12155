"""Objectives, loops, checkpoints."""
