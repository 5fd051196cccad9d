"""Comparison of two models on the same images, with confidence intervals of the differences."""
