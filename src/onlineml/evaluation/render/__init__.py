"""What scores and comparisons look like: text, HTML, figures, cards."""
