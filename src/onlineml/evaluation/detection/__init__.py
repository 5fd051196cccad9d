"""Scores of object detectors."""
