"""From storage to batches: manifests, formats, annotations, checks, decoding, loading, augmentation."""
