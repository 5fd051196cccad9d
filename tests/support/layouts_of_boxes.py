"""Layouts of images with boxes, as public data sets and programs lay them."""

from __future__ import annotations

from layouts import Layout, coco, voc

_CAT = "cat 2 3 5 6"  # in VOC's counting: 1 2 5 6
_YOLO = "0 0.3 0.5 0.4 0.5\n"  # of 10 x 8 pixels: 1 2 5 6

_VOC = [
    Layout(
        "CVAT's VOC",
        "JPEGImages/a.jpg | # | cat 1 2 5 6",
        {
            "Annotations/a.xml": voc("a.jpg", _CAT),
            "ImageSets/Main/default.txt": "a\n",
            "labelmap.txt": "# label:color_rgb:parts:actions\ncat:::\n",
        },
    ),
    Layout(
        "VOC of other names",
        also="images/a.jpg images/b.jpg",
        others={"annotations/x.xml": voc("x.jpg", _CAT), "annotations/y.xml": voc("y.jpg", _CAT)},
        refused=("x", "a"),
    ),
]
_YOLOS = [
    Layout(
        "Ultralytics with data.yaml",
        "images/train/a.jpg | train | cat 1 2 5 6\nimages/val/b.jpg | val |",
        {
            "data.yaml": "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n",
            "labels/train/a.txt": _YOLO,
            "labels/val/b.txt": "",
        },
        classes="cat, dog",
    ),
]
_COCOS = [
    Layout(
        "COCO 2017",
        "train2017/1.jpg | train | cat 1 2 5 6\nval2017/2.jpg | val | dog 0 0 10 8",
        {
            "annotations/instances_train2017.json": coco({"1.jpg": ["cat 1 2 4 4"]}),
            "annotations/instances_val2017.json": coco({"2.jpg": ["dog 0 0 10 8"]}),
            "annotations/captions_val2017.json": {"images": [], "annotations": [{"image_id": 2, "caption": "a dog"}]},
        },
        classes="cat, dog",
    ),
    Layout(
        "Roboflow's COCO",
        "train/a.jpg | train | cat 1 2 5 6\nvalid/b.jpg | val |",
        {
            "train/_annotations.coco.json": coco({"a.jpg": ["cat 1 2 4 4"]}),
            "valid/_annotations.coco.json": coco({"b.jpg": []}),
        },
    ),
]
_PROGRAMS = []
_TABLES = [
    Layout(
        "global wheat",
        "train/a.jpg | # | wheat 1 2 5 6",
        {"train.csv": 'image_id,width,height,bbox,source\na,10,8,"[1.0, 2.0, 4.0, 4.0]",usask_1\n'},
        at="train.csv",
        refused=("bbox",),
    ),
    Layout(
        "VisDrone",
        also="VisDrone2019-DET-train/images/a.jpg VisDrone2019-DET-val/images/b.jpg",
        others={
            "VisDrone2019-DET-train/annotations/a.txt": "1,2,4,4,1,4,0,0\n",
            "VisDrone2019-DET-val/annotations/b.txt": "1,2,4,4,1,4,0,0\n",
        },
        refused=("annotations",),
    ),
]
BOXES = [*_VOC, *_YOLOS, *_COCOS, *_PROGRAMS, *_TABLES]
