"""Scores of detected boxes."""
