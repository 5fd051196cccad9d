"""The COCO metric: twelve numbers equal to those of pycocotools."""
