"""Rendering of scores and comparisons: text, HTML, figures, cards."""
