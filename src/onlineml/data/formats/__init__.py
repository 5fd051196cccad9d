"""Reading and writing the formats in which people keep annotated images."""
