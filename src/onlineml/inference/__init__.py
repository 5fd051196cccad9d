"""Predicting and evaluating with a model: images, folders, videos."""
