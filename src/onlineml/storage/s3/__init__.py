"""Fast reading and conditional writing on S3."""
