"""COCO metric: twelve scores equal to those of pycocotools."""
