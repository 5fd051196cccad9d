"""Two models on the same images: what changed, and whether beyond chance."""
