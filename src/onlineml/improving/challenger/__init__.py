"""Training a successor of the champion."""
