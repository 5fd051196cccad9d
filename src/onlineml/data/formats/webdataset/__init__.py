"""Shards of WebDataset: tar files of samples, read where they lie."""
