"""Layouts of images with labels, as public data sets and programs lay them."""

from __future__ import annotations

from functools import partial

from layouts import Layout

_labels = partial(Layout, task="classification")

LABELS = [
    _labels(
        "MNIST as pictures",
        "training/10/1.png | train | 10\ntraining/2/2.png | train | 2\ntesting/2/3.png | test | 2",
        classes="2, 10",
    ),
    _labels(
        "Keras folders in upper case",
        "TRAIN/cat/a.jpg | train | cat\nVAL/cat/b.jpg | val | cat\nTEST/dog/c.jpg | test | dog",
    ),
    _labels("dev and eval", "train/cat/a.jpg | train | cat\ndev/cat/b.jpg | val | cat\ntest/dog/c.jpg | test | dog"),
    _labels("Trainset", "trainset/cat/a.jpg | train | cat\nvalset/dog/b.jpg | val | dog"),
    _labels("a class called test", "exam/a.jpg | # | exam\ntest/b.jpg | # | test"),
    # ---- tables ----
    _labels(
        "ISIC of two folders",
        "part_1/ISIC_1.jpg | # | nv\npart_2/ISIC_2.jpg | # | mel",
        {"metadata.csv": "lesion_id,image_id,dx\nHAM_1,ISIC_1,nv\nHAM_2,ISIC_2,mel\n"},
        at="metadata.csv",
        refused=("dx",),
    ),
    _labels(
        "Roboflow's folders of classes",
        "train/cat/a.jpg | train | cat\nvalid/dog/b.jpg | val | dog\ntest/dog/c.jpg | test | dog",
        {"README.roboflow.txt": "pets", "README.dataset.txt": "pets"},
    ),
    _labels(
        "FiftyOne's tree", "cat/a.jpg | # | cat\ndog/b.jpg | # | dog\n_unlabeled/c.jpg | # | _unlabeled", classes=None
    ),
    _labels(
        "a DICOM-like table of several labels",
        also="images/a.png images/b.png",
        others={"Data_Entry.csv": "Image Index,Finding Labels\na.png,Cardiomegaly|Effusion\nb.png,No Finding\n"},
        at="Data_Entry.csv",
        refused=("Image Index",),
    ),
]
