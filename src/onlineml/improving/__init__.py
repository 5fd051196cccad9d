"""From corrections to a better model: what to review, challengers, the gate."""
