"""Datasets, loaders, caches and datamodules."""
