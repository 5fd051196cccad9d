"""Training of any task: fit, time budget, checkpoints, callbacks."""
