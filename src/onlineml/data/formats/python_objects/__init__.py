"""Datasets that are Python objects, of Hugging Face or PyTorch."""
