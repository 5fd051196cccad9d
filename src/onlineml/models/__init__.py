"""Builders of plain nn.Module networks."""
