"""The choice of size and batch size from the photos, the device, the memory and the time."""
