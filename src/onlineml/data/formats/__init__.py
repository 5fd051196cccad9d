"""Readers and writers of common formats for annotated images."""
