"""Layouts of images with boxes, as public data sets and programs lay them."""

from __future__ import annotations

import json

from layouts import HEIGHT, WIDTH, Layout, coco, picture, voc

__all__ = ["BOXES", "UNREAD"]

_CAT = "cat 2 3 5 6"  # in VOC's counting: 1 2 5 6
_YOLO = "0 0.3 0.5 0.4 0.5\n"  # of 10 x 8 pixels: 1 2 5 6
_TF = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
_VIA = {
    "a.jpg100": {
        "filename": "a.jpg",
        "size": 100,
        "regions": [
            {
                "shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 4, "height": 4},
                "region_attributes": {"label": "cat"},
            }
        ],
        "file_attributes": {},
    }
}
_CVAT = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<image id="0" name="a.jpg" width="{WIDTH}" height="{HEIGHT}">
<box label="cat" occluded="0" xtl="1.0" ytl="2.0" xbr="5.0" ybr="6.0" z_order="0"></box></image>
<image id="1" name="b.jpg" width="{WIDTH}" height="{HEIGHT}"></image></annotations>"""
_LABELME = {
    "version": "5.0.1",
    "flags": {},
    "shapes": [{"label": "cat", "points": [[5, 6], [1, 2]], "group_id": None, "shape_type": "rectangle", "flags": {}}],
    "imagePath": "a.jpg",
    "imageData": None,
    "imageHeight": HEIGHT,
    "imageWidth": WIDTH,
}
_LABEL_STUDIO = [
    {
        "id": 1,
        "file_upload": "1a2b3c4d-a.jpg",
        "data": {"image": "/data/upload/1/1a2b3c4d-a.jpg"},
        "annotations": [
            {
                "id": 1,
                "was_cancelled": False,
                "result": [
                    {
                        "type": "rectanglelabels",
                        "from_name": "label",
                        "to_name": "image",
                        "original_width": WIDTH,
                        "original_height": HEIGHT,
                        "image_rotation": 0,
                        "value": {
                            "x": 10,
                            "y": 25,
                            "width": 40,
                            "height": 50,
                            "rotation": 0,
                            "rectanglelabels": ["cat"],
                        },
                    }
                ],
            }
        ],
    }
]
_VIA_3 = {
    "project": {"pid": "__VIA_PROJECT_ID__", "data_format_version": "3.1.1", "vid_list": ["1", "2", "3"]},
    "config": {"file": {"loc_prefix": {"1": ""}}},
    "attribute": {
        "1": {"aname": "kind", "anchor_id": "FILE1_Z0_XY1", "type": 3, "options": {"0": "cat", "D": "dog"}},
        "2": {"aname": "seen", "anchor_id": "FILE1_Z0_XY0", "type": 1, "options": {}},
    },
    "file": {
        "1": {"fid": "1", "fname": "a.jpg", "type": 2, "loc": 1, "src": ""},
        "2": {"fid": 2, "fname": "b.jpg", "type": 2, "loc": 1, "src": ""},
        "3": {"fid": "3", "fname": "c.mp4", "type": 4, "loc": 1, "src": ""},
    },
    "metadata": {
        "1_a": {"vid": "1", "flg": 0, "z": [], "xy": [2, 1, 2, 4, 4], "av": {"1": "0"}},
        "1_b": {"vid": "1", "flg": 0, "z": [], "xy": [3, 10, 20, 5], "av": {"1": "D"}},
        "1_c": {"vid": "1", "flg": 0, "z": [], "xy": [9, 1, 4, 4, 1, 7, 4], "av": {"1": "D"}},  # about 4 4, radius 3
        "1_d": {"vid": "1", "flg": 0, "z": [], "xy": [], "av": {"2": "yes"}},
        "3_a": {"vid": "3", "flg": 0, "z": [1.5], "xy": [2, 0, 0, 9, 9], "av": {"1": "0"}},
    },
    "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": [2]}, "3": {"fid_list": ["3"]}},
}
_CREATEML = [
    {
        "image": "a.jpg",
        "annotations": [{"label": "cat", "coordinates": {"x": 3, "y": 4, "width": 4, "height": 4}}],
    }
]

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
        "Oxford-IIIT Pet",
        "images/Abyssinian_1.jpg | # | cat 1 2 5 6\nimages/beagle_2.jpg | # | ?",
        {
            "annotations/xmls/Abyssinian_1.xml": voc("Abyssinian_1.jpg", _CAT),
            "annotations/list.txt": "Abyssinian_1 1 1 1\n",
            "annotations/trimaps/._Abyssinian_1.png": b"mac",
        },
        also="annotations/trimaps/Abyssinian_1.png annotations/trimaps/beagle_2.png",
    ),
    Layout(
        "Oxford-IIIT Pet with lists",
        "images/a_1.jpg | train | cat 1 2 5 6\nimages/b_2.jpg | test | ?",
        {
            "annotations/xmls/a_1.xml": voc("a_1.jpg", _CAT),
            "annotations/train.txt": "a_1 1 1 1\n",
            "annotations/test.txt": "b_2 2 2 1\n",
        },
    ),
    Layout(
        "VOC with an object of nothing",
        "a.jpg | # | None nan nan nan nan",
        {"a.xml": voc("a.jpg").replace("</annotation>", "<object/></annotation>")},
        says=("1 box has no corners",),
    ),
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
    Layout(
        "Roboflow's YOLO without its test folder",
        "train/images/a.jpg | train | cat 1 2 5 6\nvalid/images/b.jpg | val | cat 1 2 5 6",
        {
            "data.yaml": "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\nnames: ['cat']\n",
            "train/labels/a.txt": _YOLO,
            "valid/labels/b.txt": _YOLO,
            "README.roboflow.txt": "cats",
        },
        says=("test",),
    ),
    Layout(
        "FiftyOne's YOLO",
        "images/val/a.jpg | val | cat 1 2 5 6",
        {"dataset.yaml": "path: .\nval: ./images/val/\nnames:\n  0: cat\n", "labels/val/a.txt": _YOLO},
    ),
    Layout(
        "classes.txt of Label Studio",
        "images/a.jpg | # | cat 1 2 5 6",
        {"classes.txt": "cat\ndog\n", "labels/a.txt": _YOLO, "notes.json": {"categories": [{"id": 0, "name": "cat"}]}},
        classes="cat, dog",
    ),
    Layout(
        "labels beside images",
        "a.jpg | # | cat 1 2 5 6\nb.jpg | # | dog 1 2 5 6",
        {"classes.txt": "cat\ndog\n", "a.txt": _YOLO, "b.txt": "1 0.3 0.5 0.4 0.5\n"},
    ),
    Layout(
        "CVAT's YOLO 1.1",
        "obj_train_data/a.jpg | train | cat 1 2 5 6",
        {
            "obj.data": "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
            "obj.names": "cat\n",
            "train.txt": "data/obj_train_data/a.jpg\n",
            "obj_train_data/a.txt": _YOLO,
        },
    ),
    Layout(
        "Roboflow's darknet",
        "train/a.jpg | train | cat 1 2 5 6\nvalid/b.jpg | val | cat 1 2 5 6",
        {
            "train/_darknet.labels": "cat",
            "train/a.txt": _YOLO,
            "valid/_darknet.labels": "cat",
            "valid/b.txt": _YOLO,
        },
    ),
    Layout(
        "other names of folders and files",
        "Images/a.jpg | # | cat 1 2 5 6\nImages/b.jpg | # | cat 1 2 5 6",
        {"classes.txt": "cat\n", "Labels/a.TXT": _YOLO, "Labels/b.jpg.txt": _YOLO},
    ),
    Layout(
        "poses of one folder for both",
        "images/train/a.jpg | train | person 1 2 5 6",
        {
            "data.yaml": "train: images/train\nval: images/train\nkpt_shape: [2, 3]\nnames: [person]\n",
            "labels/train/a.txt": "0 0.3 0.5 0.4 0.5 0.1 0.1 2 0.9 0.9 1\n",
        },
        says=("val names the same images as train: they were imported once, as train",),
    ),
    Layout(
        "poses of two splits",
        "images/train/a.jpg | train | person 1 2 5 6\nimages/val/b.jpg | val | person 1 2 5 6",
        {
            "data.yaml": "train: images/train\nval: images/val\nkpt_shape: [2, 3]\nnames: [person]\n",
            "labels/train/a.txt": "0 0.3 0.5 0.4 0.5 0.1 0.1 2 0.9 0.9 1\n",
            "labels/val/b.txt": "0 0.3 0.5 0.4 0.5 0.1 0.1 2 0.9 0.9 1\n",
        },
    ),
    Layout(
        "oriented boxes",
        "images/train/a.jpg | train | plane 1 2 5 6\nimages/val/b.jpg | val | plane 1 2 5 6",
        {
            "data.yaml": "train: images/train\nval: images/val\nnames: [plane]\n",
            "labels/train/a.txt": "0 0.1 0.5 0.3 0.25 0.5 0.5 0.3 0.75\n",
            "labels/val/b.txt": "0 0.1 0.5 0.3 0.25 0.5 0.5 0.3 0.75\n",
        },
        says=("2",),
    ),
    Layout(
        "coco8 without its yaml",
        also="images/train/a.jpg images/val/b.jpg",
        others={"labels/train/a.txt": _YOLO, "labels/val/b.txt": _YOLO, "LICENSE": "x", "README.md": "x"},
        refused=("names",),
    ),
    Layout(
        "labels of other images",
        also="images/train/a.jpg images/val/b.jpg",
        others={
            "data.yaml": "train: images/train\nval: images/val\nnames: [cat]\n",
            "labels/train/x.txt": _YOLO,
            "labels/val/y.txt": _YOLO,
        },
        refused=("labels",),
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
    Layout(
        "iNaturalist without boxes",
        others={
            "train.json": {
                "images": [{"id": 1, "file_name": "a.jpg"}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 7}],
                "categories": [{"id": 7, "name": "oak"}],
            }
        },
        also="a.jpg",
        refused=("has 1 annotation, none of which", "task='multilabel'"),
    ),
    Layout(
        "COCO with one without a box",
        "a.jpg | # | cat 1 2 5 6, cat nan nan nan nan",
        {
            "train.json": {
                "images": [{"id": 1, "file_name": "a.jpg"}],
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 4, 4]},
                    {"id": 2, "image_id": 1, "category_id": 7},
                ],
                "categories": [{"id": 7, "name": "cat"}],
            }
        },
        says=("1 box has no corners",),
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
_PROGRAMS = [
    Layout(
        "LabelMe",
        "a.jpg | # | cat 1 2 5 6\nb.jpg | # | ?",
        {"a.json": _LABELME},
    ),
    Layout("VIA", "a.jpg | # | cat 1 2 5 6", {"via_region_data.json": _VIA}),
    Layout(
        "VIA of two splits",
        "train/a.jpg | train | cat 1 2 5 6\nval/a.jpg | val | cat 1 2 5 6",
        {"train/via_region_data.json": _VIA, "val/via_region_data.json": _VIA},
    ),
    Layout(
        "CreateML of Roboflow",
        "train/a.jpg | train | cat 1 2 5 6\nvalid/a.jpg | val | cat 1 2 5 6",
        {"train/_annotations.createml.json": _CREATEML, "valid/_annotations.createml.json": _CREATEML},
    ),
    Layout("Label Studio", "images/1a2b3c4d-a.jpg | # | cat 1 2 5 6", {"project-1.json": _LABEL_STUDIO}),
    Layout("CVAT for images", "images/a.jpg | # | cat 1 2 5 6\nimages/b.jpg | # |", {"annotations.xml": _CVAT}),
    Layout("FiftyOne's CVAT", "data/a.jpg | # | cat 1 2 5 6\ndata/b.jpg | # |", {"labels.xml": _CVAT}),
    Layout(
        "FiftyOne's detection",
        also="data/a.jpg",
        others={
            "labels.json": {"classes": ["cat"], "labels": {"a": [{"label": 0, "bounding_box": [0.1, 0.2, 0.4, 0.5]}]}}
        },
        refused=("labels.json",),
    ),
    Layout(
        "Datumaro",
        also="images/default/a.jpg",
        others={"annotations/default.json": {"info": {}, "categories": {}, "items": [{"id": "a", "annotations": []}]}},
        refused=("default.json",),
    ),
]
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
        "Open Images",
        "images/0a.jpg | # | Cat 1 2 5 6",
        {
            "annotations-bbox.csv": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,"
            "IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
            "0a,xclick,/m/01yrx,1,0.1,0.5,0.25,0.75,0,0,0,0,0\n",
            "class-descriptions-boxable.csv": "/m/01yrx,Cat\n",
        },
    ),
    Layout(
        "KITTI",
        "training/image_2/000000.png | # | Car 1 2 5 6\ntesting/image_2/000000.png | - | ?",
        {"training/label_2/000000.txt": "Car 0.00 0 -1.58 1.00 2.00 5.00 6.00 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n"},
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
    Layout(
        "global wheat",
        "train/a.jpg | # | wheat 1 2 5 6",
        {"train.csv": 'image_id,width,height,bbox,source\na,10,8,"[1.0, 2.0, 4.0, 4.0]",usask_1\n'},
        at="train.csv",
        refused=("label=''",),
    ),
    Layout(
        "VisDrone",
        "VisDrone2019-DET-train/images/a.jpg | train | car 1 2 5 6, None 0 0 3 3\n"
        "VisDrone2019-DET-val/images/b.jpg | val | pedestrian 1 2 5 6\nVisDrone2019-DET-test-dev/images/c.jpg | test |",
        {
            "VisDrone2019-DET-train/annotations/a.txt": "1,2,4,4,1,4,0,1\n0,0,3,3,0,0,0,0\n",
            "VisDrone2019-DET-val/annotations/b.txt": "1,2,4,4,1,1,1,2,\n",
            "VisDrone2019-DET-test-dev/annotations/c.txt": "",
        },
        classes="pedestrian, car",
    ),
]
UNREAD = [
    Layout(
        "DOTA",
        also="train/images/P0001.png val/images/P0002.png",
        others={
            "train/labelTxt/P0001.txt": "imagesource:GoogleEarth\ngsd:0.14\n1 2 5 2 5 6 1 6 plane 0\n",
            "val/labelTxt/P0002.txt": "1 2 5 2 5 6 1 6 plane 0\n",
        },
        refused=("DOTA", "labelTxt", "Manifest.from_boxes"),
    ),
    Layout(
        "WIDER FACE",
        also="WIDER_train/images/0--Parade/a.jpg WIDER_val/images/1--Riot/b.jpg",
        others={
            "wider_face_split/wider_face_train_bbx_gt.txt": "0--Parade/a.jpg\n1\n1 2 4 4 0 0 0 0 0 0\n",
            "wider_face_split/wider_face_val_bbx_gt.txt": "1--Riot/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n",
        },
        refused=("WIDER FACE", "wider_face_train_bbx_gt.txt", "format='folders'"),
    ),
    Layout(
        "MOT Challenge",
        also="train/MOT17-02/img1/000001.jpg train/MOT17-04/img1/000001.jpg",
        others={
            "train/MOT17-02/gt/gt.txt": "1,1,2,3,4,4,1,1,1\n1,2,2,3,4,4,0,1,1\n",
            "train/MOT17-04/gt/gt.txt": "1,1,2,3,4,4,1,3,1\n",
            "train/MOT17-02/seqinfo.ini": "[Sequence]\nname=MOT17-02\nimDir=img1\n",
        },
        refused=("MOT Challenge", "train/MOT17-02/gt/gt.txt"),
    ),
    Layout(
        "UA-DETRAC",
        also="Insight-MVT_Annotation_Train/MVI_1/img00001.jpg Insight-MVT_Annotation_Train/MVI_2/img00001.jpg",
        others={
            "XML/MVI_1.xml": '<?xml version="1.0"?><sequence name="MVI_1"><ignored_region><box left="1" top="1" '
            'width="2" height="2"/></ignored_region><frame density="1" num="1"><target_list><target id="1"><box '
            'left="1" top="2" width="4" height="4"/><attribute vehicle_type="car"/></target></target_list></frame>'
            "</sequence>"
        },
        refused=("UA-DETRAC", "MVI_1.xml"),
    ),
    Layout(
        "BDD100K",
        also="images/100k/train/a.jpg",
        others={
            "labels/det_train.json": [
                {"name": "a.jpg", "labels": [{"category": "car", "box2d": {"x1": 1, "y1": 2, "x2": 5, "y2": 6}}]}
            ]
        },
        refused=("BDD100K", "det_train.json"),
    ),
    Layout(
        "CrowdHuman",
        also="Images/a.jpg",
        others={
            "annotation_train.odgt": '{"ID": "a", "gtboxes": [{"tag": "person", "vbox": [1, 2, 4, 4]}, {"tag": "mask", '
            '"vbox": [0, 0, 1, 1]}]}\n'
        },
        refused=("CrowdHuman", "annotation_train.odgt"),
    ),
    Layout(
        "KITTI with calibration",
        "training/image_2/000000.png | # | Car 1 2 5 6\ntesting/image_2/000000.png | - | ?",
        {
            "training/label_2/000000.txt": "Car 0 0 -1.58 1 2 5 6 1.65 1.67 3.64 -0.65 1.71 46.7 -1.59\n",
            "training/calib/000000.txt": "P0: 7.2e+02 0 6.0e+02 0 0 7.2e+02 1.7e+02 0 0 0 1 0\n",
            "testing/calib/000000.txt": "P0: 7.2e+02 0 6.0e+02 0 0 7.2e+02 1.7e+02 0 0 0 1 0\n",
            "training/velodyne/000000.bin": b"points",
        },
        also="training/image_3/000000.png",
        says=("training/image_3/000000.png",),
    ),
]
_FURTHER = [
    Layout(
        "Roboflow's text for Keras",
        also="train/a.jpg valid/b.jpg",
        others={"train/_annotations.txt": "a.jpg 1,2,5,6,0\n", "train/_classes.txt": "cat\n"},
        refused=("train/_annotations.txt",),
    ),
    Layout(
        "Roboflow's CSV for RetinaNet",
        "train/a.jpg | train | cat 1 2 5 6\nvalid/b.jpg | val | cat 1 2 5 6",
        {
            "train/_annotations.csv": "a.jpg,1,2,5,6,cat\n",
            "train/_classes.csv": "cat,0\n",
            "valid/_annotations.csv": "b.jpg,1,2,5,6,cat\n",
            "valid/_classes.csv": "cat,0\n",
        },
    ),
    Layout("Roboflow's TFRecord", others={"train/cats.tfrecord": b"x"}, refused=("1 .tfrecord",)),
    Layout(
        "Supervisely",
        also="ds/img/a.jpg ds/img/b.jpg",
        others={"ds/ann/a.jpg.json": {"size": {}, "objects": []}, "meta.json": {"classes": []}},
        refused=("ds/ann/a.jpg.json",),
    ),
    Layout(
        "ImageNet with boxes",
        "ILSVRC/Data/CLS-LOC/train/n01/x.JPEG | train | n01 1 2 5 6\nILSVRC/Data/CLS-LOC/val/v.JPEG | val | ?",
        {"ILSVRC/Annotations/CLS-LOC/train/n01/x.xml": voc("x", "n01 2 3 5 6")},
        says=("no XML file, and so no annotation",),
    ),
    Layout(
        "CVAT's Ultralytics YOLO",
        "images/train/a.jpg | train | cat 1 2 5 6",
        {
            "data.yaml": "path: .\ntrain: train.txt\nnames:\n  0: cat\n",
            "train.txt": "data/images/train/a.jpg\n",
            "labels/train/a.txt": _YOLO,
        },
    ),
    Layout(
        "TT100K",
        also="train/1.jpg test/2.jpg",
        others={"annotations.json": {"imgs": {"1": {"path": "train/1.jpg", "objects": []}}, "types": ["i1"]}},
        refused=("annotations.json",),
    ),
    Layout(
        "COCO with keypoints",
        "train2017/1.jpg | train | person 1 2 5 6",
        {
            "annotations/instances_train2017.json": coco({"1.jpg": ["person 1 2 4 4"]}, classes="person"),
            "annotations/person_keypoints_train2017.json": coco({"1.jpg": ["person 1 2 4 4"]}, classes="person"),
        },
        says=("person_keypoints_train2017.json",),
    ),
    Layout(
        "LabelMe of two splits",
        "train/a.jpg | train | cat 1 2 5 6\nval/a.jpg | val | cat 1 2 5 6",
        {"train/a.json": _LABELME, "val/a.json": _LABELME},
    ),
    Layout("annotations without images", others={"Annotations/a.xml": voc("a.jpg", _CAT)}, refused=("0 images",)),
]
_DOUBTFUL = [
    Layout(
        "VOC with YOLO's files",
        "images/a.jpg | # | cat 1 2 5 6\nimages/b.jpg | # | ?",
        {
            "xml/a.xml": voc("a.jpg", _CAT),
            "labels/a.txt": _YOLO,
            "labels/b.txt": _YOLO,
            "classes.txt": "cat\n",
        },
        says=('read with format="yolo"',),
    ),
    Layout(
        "COCO with VOC's and LabelMe's files",
        "b.jpg | # | dog 1 2 5 6",
        {"a.xml": voc("a.jpg", _CAT), "a.json": _LABELME, "all.json": coco({"b.jpg": ["dog 1 2 4 4"]})},
        also="a.jpg",
        says=("annotations as voc and labelme", "named in no file, and left out: 'a.jpg'", "left out: 'a.json'"),
    ),
    Layout(
        "LabelMe with a broken file",
        "a.jpg | # | cat 1 2 5 6\nb.jpg | # | ?",
        {"a.json": _LABELME, "b.json": "{"},
        says=("1 other .json file was left out: 'b.json'",),
    ),
    Layout(
        "VOC in shares",
        also="a.jpg",
        others={"a.xml": voc("a.jpg", "cat .1 .25 .5 .75")},
        refused=("between 0 and 1", "shares"),
    ),
    Layout(
        "COCO in shares",
        also="a.jpg",
        others={"all.json": coco({"a.jpg": ["cat .1 .25 .4 .5"]})},
        refused=("between 0 and 1", "shares"),
    ),
    Layout(
        "LabelMe in shares",
        also="a.jpg",
        others={"a.json": {**_LABELME, "shapes": [{"label": "cat", "points": [[0.1, 0.2], [0.5, 0.7]]}]}},
        refused=("between 0 and 1", "shares"),
    ),
    Layout(
        "COCO with corners",
        "a.jpg | # | cat 5 4 14 11, dog 4 4 12 10",
        {"all.json": coco({"a.jpg": ["cat 5 4 9 7", "dog 4 4 8 6"]})},
        says=("2 of 2 boxes leave their images",),
    ),
    Layout(
        "VOC with decimal commas",
        also="a.jpg",
        others={"a.xml": voc("a.jpg", "cat 2,5 3 5 6")},
        refused=("a.xml", "'2,5' has a decimal comma"),
    ),
    Layout(
        "VOC's elements in one file",
        also="a.jpg",
        others={"all.xml": f"<annotations>{voc('a.jpg', _CAT)}</annotations>"},
        refused=("Pascal VOC",),
    ),
    Layout(
        "CVAT without images",
        also="a.jpg",
        others={"annotations.xml": "<annotations><version>1.1</version></annotations>"},
        refused=("names no images",),
    ),
    Layout("COCO of nothing", also="a.jpg", others={"all.json": coco({})}, refused=("read as coco", "names no images")),
    Layout(
        "a table without a header, numbers of classes first or last",
        also="a.jpg b.jpg",
        others={"l.csv": "a.jpg,0,1,2,5,6\nb.jpg,1,2,3,6,7\n"},
        refused=("l.csv has no header", 'box="xyxy"'),
    ),
    Layout(
        "a table without a header, numbers of classes last",
        "a.jpg | # | 0 1 2 5 6\nb.jpg | # | 1 2 3 6 7",
        {"l.csv": "a.jpg,1,2,5,6,0\nb.jpg,2,3,6,7,1\n"},
    ),
    Layout(
        "YOLO with two orders of classes",
        "train/images/a.jpg | train | cat 1 2 5 6",
        {
            "train/labels/a.txt": _YOLO,
            "train/labels/classes.txt": "dog\ncat\n",
            "data.yaml": "train: train/images\nnames: [cat, dog]\n",
        },
        says=("'train/labels/classes.txt' has other classes than data.yaml",),
    ),
    Layout(
        "OIDv4 ToolKit",
        "OID/Dataset/train/Apple/a.jpg | train | Apple 1 2 5 6, Human face 0 0 4.5 4\n"
        "OID/Dataset/test/Apple/c.jpg | test | Apple 1 2 5 6",
        {
            "OID/Dataset/train/Apple/Label/a.txt": "Apple 1.0 2.0 5.0 6.0\n",
            "OID/Dataset/train/Human face/Label/a.txt": "Human face 0.0 0.0 4.5 4.0\n",
            "OID/Dataset/train/Human face/a.jpg": picture("OID/Dataset/train/Apple/a.jpg"),
            "OID/Dataset/test/Apple/Label/c.txt": "Apple 1 2 5 6\n",
        },
        classes="Apple, Human face",
        says=("1 further copy of images in other class folders",),
    ),
    Layout(
        "mAP of Cartucho",
        "images-optional/a.jpg | # | cat 1 2 5 6",
        {"ground-truth/a.txt": "cat 1 2 5 6 difficult\n", "detection-results/a.txt": "cat 0.9 0 0 8 8\n"},
    ),
    Layout(
        "YOLO with two descriptions",
        also="images/a.jpg",
        others={
            "labels/a.txt": _YOLO,
            "data.yaml": "train: images\nnames: [cat]\n",
            "mine.yaml": "train: images\nnames: [dog]\n",
        },
        refused=("data.yaml and mine.yaml", "pass the URL of the one that counts"),
    ),
    Layout(
        "YOLO with two descriptions of folders",
        "images/a.jpg | train | cat 1 2 5 6\nmore/b.jpg | val | ?",
        {
            "labels/a.txt": _YOLO,
            "data.yaml": "train: images\nval: more\nnames: [cat]\n",
            "old/mine.yaml": "train: more\nnames: [dog]\n",
            "fold.yaml": "train: more\nval: images\nnames: {0: cat, 1: dog}\n",
        },
        says=("old/mine.yaml names other classes than data.yaml", "fold.yaml names other folders than data.yaml"),
    ),
    Layout(
        "YOLO with a blank line among its classes",
        also="images/a.jpg",
        others={"labels/a.txt": _YOLO, "classes.txt": "cat\n\ndog\ncat\n"},
        refused=("classes.txt: the classes of the numbers 1, 3, those of their lines",),
    ),
    Layout(
        "YOLO with a class twice in data.yaml",
        also="images/a.jpg",
        others={"labels/a.txt": _YOLO, "data.yaml": "train: images\nnames: [cat, '', cat]\n"},
        refused=("data.yaml: the classes of the numbers 1, 2 have no name",),
    ),
    Layout(
        "YOLO with a mark at the beginning of its labels",
        "images/a.jpg | train | cat 1 2 5 6",
        {"labels/a.txt": f"\ufeff{_YOLO}", "data.yaml": "train: images\nnames: [cat]\n"},
    ),
    Layout(
        "YOLO with a class that is a signalling NaN",
        also="images/a.jpg",
        others={"labels/a.txt": "snan .3 .5 .4 .5\n", "data.yaml": "train: images\nnames: [cat]\n"},
        refused=("labels/a.txt: line 1: 'snan",),
    ),
    Layout(
        "VOC in a Chinese encoding",
        "a.jpg | # | \u732b 1 2 5 6",
        {"a.xml": ('<?xml version="1.0" encoding="gb2312"?>' + voc("a.jpg", "\u732b 2 3 5 6")).encode("gb2312")},
    ),
    Layout(
        "VOC that names other images",
        "images/a.jpg | # | cat 1 2 5 6\nimages/b.jpg | # | dog 1 2 5 6",
        {"annots/a.xml": voc("b.jpg", _CAT), "annots/b.xml": voc("a.jpg", "dog 2 3 5 6")},
        says=("2 XML files name another image in <filename>",),
    ),
    Layout(
        "VIA 3",
        "a.jpg | # | cat 1 2 5 6, dog 5 15 15 25, dog 1 1 7 7\nb.jpg | # |",
        {"via_project.json": _VIA_3},
        says=("1 view of videos",),
    ),
    Layout(
        "VIA without classes",
        "a.jpg | # | None 1 2 5 6",
        {"via.json": json.dumps(_VIA).replace('"cat"', '""')},
        says=("1 region has no value of the attribute",),
    ),
    Layout(
        "LabelMe's rectangle of one point",
        "a.jpg | # | ?",
        {"a.json": {**_LABELME, "shapes": [{"label": "cat", "points": [[5, 6]], "shape_type": "rectangle"}]}},
        says=("1 shape of the type 'rectangle' was left out", "1 image of which no label is a box"),
    ),
    Layout(
        "COCO's classes with blanks",
        "a.jpg | # | big cat 1 2 5 6, big cat 0 0 2 2, dog 0 0 1 1",
        {
            "all.json": json.dumps(coco({"a.jpg": ["A 1 2 4 4", "B 0 0 2 2", "C 0 0 1 1"]}, classes="A B C"))
            .replace('"A"', '"big cat"')
            .replace('"B"', '" big  cat "')
            .replace('"C"', '"dog"')
        },
        classes="big cat, dog",
        says=("spellings that differ only in blanks",),
    ),
]
BOXES = [*_DOUBTFUL, *_FURTHER, *UNREAD, *_VOC, *_YOLOS, *_COCOS, *_PROGRAMS, *_TABLES]
