"""Scores of classifiers that assign any number of labels to an image: each class is present or not."""
