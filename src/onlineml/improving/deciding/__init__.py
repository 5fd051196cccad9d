"""Photos that decide between champion and challenger where the test images do not."""
