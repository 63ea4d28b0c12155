"""Instances to feature matrices and initial scores: the baselines."""
