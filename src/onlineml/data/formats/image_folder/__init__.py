"""ImageFolder of Hugging Face: images with a file of metadata."""
