"""Scores of predicted labels."""
