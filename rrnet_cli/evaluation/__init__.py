"""Metrics, comparisons, plots and reports."""
