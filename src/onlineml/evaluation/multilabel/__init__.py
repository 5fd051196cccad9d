"""Scores of images that have any number of labels: each class is there or not."""
