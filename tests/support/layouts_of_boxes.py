"""Layouts of images with boxes, as public data sets and programs lay them."""

from __future__ import annotations

from layouts import HEIGHT, WIDTH, Layout, coco, voc

_CAT = "cat 2 3 5 6"  # in VOC's counting: 1 2 5 6
_YOLO = "0 0.3 0.5 0.4 0.5\n"  # of 10 x 8 pixels: 1 2 5 6
_TF = "filename,width,height,class,xmin,ymin,xmax,ymax\n"

_VOC = [
    Layout(
        "Pascal VOC",
        "VOC2012/JPEGImages/a.jpg | train | cat 1 2 5 6\nVOC2012/JPEGImages/b.jpg | val | dog 0 0 10 8",
        {
            "VOC2012/Annotations/a.xml": voc("a.jpg", _CAT),
            "VOC2012/Annotations/b.xml": voc("b.jpg", "dog 1 1 10 8"),
            "VOC2012/ImageSets/Main/train.txt": "a\n",
            "VOC2012/ImageSets/Main/val.txt": "b\n",
            "VOC2012/ImageSets/Main/cat_train.txt": "a  1\n",
        },
        also="VOC2012/SegmentationClass/a.png VOC2012/SegmentationObject/a.png",
        classes="cat, dog",
    ),
    Layout(
        "images and annotations of Kaggle",
        "images/m0.png | # | cat 1 2 5 6\nimages/m1.png | # | dog 0 0 10 8",
        {"annotations/m0.xml": voc("m0.png", _CAT), "annotations/m1.xml": voc("m1.png", "dog 1 1 10 8")},
    ),
    Layout(
        "Images and annots",
        "Images/a.jpg | # | cat 1 2 5 6",
        {"annots/a.xml": voc("a.jpg", _CAT)},
    ),
    Layout("images and xmls", "img/a.jpg | # | cat 1 2 5 6", {"xmls/a.xml": voc("a.jpg", _CAT)}),
    Layout("FiftyOne's VOC", "data/a.jpg | # | cat 1 2 5 6", {"labels/a.xml": voc("a.jpg", _CAT)}),
    Layout(
        "an XML beside each image",
        "train/a.jpg | train | cat 1 2 5 6\ntest/b.jpg | test | dog 0 0 10 8",
        {
            "train/a.xml": voc("a.jpg", _CAT),
            "test/b.xml": voc("b.jpg", "dog 1 1 10 8"),
            "train_labels.csv": _TF + "a.jpg,10,8,cat,2,3,5,6\n",
        },
    ),
    Layout(
        "fruit of Kaggle",
        "train_zip/train/apple_1.jpg | train | apple 1 2 5 6\ntest_zip/test/apple_2.jpg | test | apple 0 0 10 8",
        {
            "train_zip/train/apple_1.xml": voc("apple_1.jpg", "apple 2 3 5 6"),
            "test_zip/test/apple_2.xml": voc("apple_2.jpg", "apple 1 1 10 8"),
        },
    ),
    Layout(
        "split folders around images and annots",
        "train/images/a.jpg | train | cat 1 2 5 6\nvalid/images/b.jpg | val | dog 0 0 10 8",
        {"train/annots/a.xml": voc("a.jpg", _CAT), "valid/annots/b.xml": voc("b.jpg", "dog 1 1 10 8")},
    ),
    Layout(
        "split folders below images and annotations",
        "images/train/a.jpg | train | cat 1 2 5 6\nimages/val/b.jpg | val | dog 0 0 10 8",
        {"annotations/train/a.xml": voc("a.jpg", _CAT), "annotations/val/b.xml": voc("b.jpg", "dog 1 1 10 8")},
    ),
    Layout(
        "a file name that is not the stem",
        "images/a.jpg | # | cat 1 2 5 6\nimages/b.jpg | # | dog 0 0 10 8",
        {"annotations/a.xml": voc("renamed.jpg", _CAT), "annotations/b.xml": voc("C:\\b.jpg", "dog 1 1 10 8")},
    ),
    Layout(
        "blanks at the ends of names",
        "images/a .jpg | # | cat 1 2 5 6",
        {"annotations/a.xml": voc(" a .jpg ", _CAT)},
    ),
    Layout(
        "Roboflow's VOC",
        "train/a_jpg.rf.0f.jpg | train | cat 1 2 5 6\nvalid/b_jpg.rf.0e.jpg | val | cat 0 0 10 8",
        {
            "train/a_jpg.rf.0f.xml": voc("a_jpg.rf.0f.jpg", _CAT),
            "valid/b_jpg.rf.0e.xml": voc("b_jpg.rf.0e.jpg", "cat 1 1 10 8"),
            "README.roboflow.txt": "cats",
        },
    ),
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
    Layout(
        "ILSVRC DET",
        "Data/DET/train/x/a.JPEG | train | n01 1 2 5 6\nData/DET/val/b.JPEG | val | n02 0 0 10 8",
        {
            "Annotations/DET/train/x/a.xml": voc("a", "n01 2 3 5 6"),
            "Annotations/DET/val/b.xml": voc("b", "n02 1 1 10 8"),
        },
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
    Layout(
        "CVAT's COCO",
        "images/a.jpg | # | cat 1 2 5 6",
        {"annotations/instances_default.json": coco({"a.jpg": ["cat 1 2 4 4"]})},
    ),
    Layout(
        "Label Studio's COCO",
        "images/a.jpg | # | cat 1 2 5 6",
        {"result.json": coco({"images/a.jpg": ["cat 1 2 4 4"]})},
    ),
    Layout("FiftyOne's COCO", "data/a.jpg | # | cat 1 2 5 6", {"labels.json": coco({"a.jpg": ["cat 1 2 4 4"]})}),
    Layout(
        "train.json and val.json",
        "images/a.jpg | train | cat 1 2 5 6\nimages/b.jpg | val | dog 0 0 10 8",
        {
            "annotations/train.json": coco({"a.jpg": ["cat 1 2 4 4"]}),
            "annotations/val.json": coco({"b.jpg": ["dog 0 0 10 8"]}),
        },
    ),
    Layout(
        "Objects365",
        "train/patch0/a.jpg | train | cat 1 2 5 6\nval/patch1/b.jpg | val | cat 0 0 10 8",
        {
            "annotations/zhiyuan_objv2_train.json": coco({"images/v1/patch0/a.jpg": ["cat 1 2 4 4"]}, classes="cat"),
            "annotations/zhiyuan_objv2_val.json": coco({"images/v2/patch1/b.jpg": ["cat 0 0 10 8"]}, classes="cat"),
        },
    ),
    Layout(
        "captions of COCO",
        others={
            "captions.json": {
                "images": [{"id": 1, "file_name": "a.jpg"}],
                "annotations": [{"id": 1, "image_id": 1, "caption": "a"}],
            }
        },
        also="a.jpg",
        at="captions.json",
        refused=("caption",),
    ),
    Layout(
        "panoptic COCO",
        others={
            "panoptic.json": {
                "images": [{"id": 1, "file_name": "a.jpg"}],
                "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 1}]}],
                "categories": [{"id": 1, "name": "cat", "isthing": 1}],
            }
        },
        also="a.jpg",
        at="panoptic.json",
        refused=("panoptic",),
    ),
    Layout(
        "LVIS",
        "train2017/1.jpg | train | cat 1 2 5 6\nval2017/2.jpg | val | cat 1 2 5 6",
        {
            f"annotations/lvis_v1_{split}.json": {
                "images": [
                    {
                        "id": n,
                        "coco_url": f"http://images.cocodataset.org/{split}2017/{n}.jpg",
                        "width": WIDTH,
                        "height": HEIGHT,
                    }
                ],
                "annotations": [{"id": 1, "image_id": n, "category_id": 1, "bbox": [1, 2, 4, 4], "area": 16.0}],
                "categories": [{"id": 1, "name": "cat"}],
            }
            for n, split in enumerate(("train", "val"), 1)
        },
    ),
]
_PROGRAMS = []
_TABLES = [
    Layout(
        "TensorFlow's CSV of Roboflow",
        "train/a.jpg | train | cat 1 2 5 6\nvalid/b.jpg | val | dog 0 0 10 8",
        {
            "train/_annotations.csv": _TF + "a.jpg,10,8,cat,1,2,5,6\n",
            "valid/_annotations.csv": _TF + "b.jpg,10,8,dog,0,0,10,8\n",
        },
    ),
    Layout(
        "shares in a table",
        "a.jpg | # | cat 1 2 5 6\nb.jpg | # | dog 0 0 10 8",
        {"boxes.csv": "path,x1,y1,x2,y2,label\na.jpg,0.1,0.25,0.5,0.75,cat\nb.jpg,0,0,1,1,dog\n"},
        at="boxes.csv",
    ),
    Layout(
        "RetinaNet's CSV",
        "a.jpg | # | cat 1 2 5 6\nb.jpg | # |",
        {"annotations.csv": "a.jpg,1,2,5,6,cat\nb.jpg,,,,,\n", "classes.csv": "cat,0\n"},
        at="annotations.csv",
    ),
    Layout(
        "SageMaker Ground Truth",
        "a.jpg | # | cat 1 2 5 6",
        {
            "output.manifest": '{"source-ref": "s3://bucket/a.jpg", "boxes": {"annotations": [{"class_id": 0, '
            '"left": 1, "top": 2, "width": 4, "height": 4}], "image_size": [{"width": 10, "height": 8, "depth": 3}]}, '
            '"boxes-metadata": {"class-map": {"0": "cat"}, "type": "groundtruth/object-detection"}}\n'
        },
        at="output.manifest",
    ),
    Layout(
        "Azure AutoML",
        "a.jpg | # | cat 1 2 5 6",
        {
            "train.jsonl": '{"image_url": "azureml://x/paths/a.jpg", "image_details": {"format": "jpg", '
            '"width": "10px", "height": "8px"}, "label": [{"label": "cat", "topX": 0.1, '
            '"topY": 0.25, "bottomX": 0.5, "bottomY": 0.75}]}\n'
        },
        at="train.jsonl",
    ),
    Layout(
        "Vertex AI's boxes",
        "a.jpg | train | cat 1 2 5 6",
        {"import.csv": "TRAINING,gs://bucket/a.jpg,cat,0.1,0.25,,,0.5,0.75,,\n"},
        at="import.csv",
    ),
]
BOXES = [*_VOC, *_YOLOS, *_COCOS, *_PROGRAMS, *_TABLES]
