"""VGG Image Annotator: projects, exported JSON and CSV."""
