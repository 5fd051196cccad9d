"""Scores of image classifiers."""
