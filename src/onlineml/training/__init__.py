"""How any task is trained: fit, time budget, checkpoints, callbacks."""
