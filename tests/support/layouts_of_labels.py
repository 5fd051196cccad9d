"""Layouts of images with labels, as public data sets and programs lay them."""

from __future__ import annotations

from functools import partial

from layouts import Layout

_labels = partial(Layout, task="classification")

LABELS = [
    _labels("EuroSAT", "2750/Forest/Forest_1.jpg | # | Forest\n2750/River/River_1.jpg | # | River"),
    _labels(
        "Caltech-101",
        """
        caltech-101/101_ObjectCategories/ant/image_0001.jpg | # | ant
        caltech-101/101_ObjectCategories/BACKGROUND_Google/image_0001.jpg | # | BACKGROUND_Google
        """,
        {"caltech-101/101_ObjectCategories/.DS_Store": b"", "caltech-101/Annotations.tar": b"tar"},
    ),
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
    _labels(
        "Cat and Dog of Kaggle",
        """
        training_set/training_set/cats/cat.1.jpg | train | cats
        training_set/training_set/dogs/dog.1.jpg | train | dogs
        test_set/test_set/cats/cat.4001.jpg | test | cats
        """,
        {"training_set/training_set/cats/_DS_Store": b""},
    ),
    _labels(
        "chest X-rays",
        """
        chest_xray/train/NORMAL/IM-0115-0001.jpeg | train | NORMAL
        chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg | train | PNEUMONIA
        chest_xray/val/NORMAL/NORMAL2-IM-1427-0001.jpeg | val | NORMAL
        chest_xray/test/PNEUMONIA/person100_bacteria_475.jpeg | test | PNEUMONIA
        """,
        {"chest_xray/.DS_Store": b"", "__MACOSX/chest_xray/train/NORMAL/._IM-0115-0001.jpeg": b"mac"},
        classes="NORMAL, PNEUMONIA",
    ),
    _labels("only a test folder", "test/cat/a.jpg | test | cat\ntest/dog/b.jpg | test | dog"),
    _labels("val and test", "val/cat/a.jpg | val | cat\ntest/dog/b.jpg | test | dog"),
    _labels(
        "a README and a stray picture beside the splits",
        "train/cat/a.jpg | train | cat\nval/dog/b.jpg | val | dog\nlogo.png | - | ?",
        {"README.md": "# pets"},
    ),
    _labels("Food-101", "images/apple_pie/1.jpg | # | apple_pie\nimages/waffles/2.jpg | # | waffles"),
    _labels(
        "CUB-200",
        """
        images/001.Black_footed_Albatross/a.jpg | # | 001.Black_footed_Albatross
        images/002.Laysan_Albatross/b.jpg | # | 002.Laysan_Albatross
        """,
    ),
    _labels(
        "what systems leave",
        "cat/a.jpg | # | cat\ndog/b.jpg | # | dog",
        also="""
        @eaDir/a.jpg cat/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg .thumbnails/a.jpg $RECYCLE.BIN/x.jpg lost+found/y.jpg
        __MACOSX/cat/._a.jpg .ipynb_checkpoints/a.jpg cat/.hidden.jpg
        """,
        others={"Thumbs.db": b"x", "cat/desktop.ini": "[x]"},
    ),
    _labels(
        "ADE20K", also="images/training/a.jpg images/validation/b.jpg annotations/training/a.png", refused=("images",)
    ),
    # ---- tables ----
    _labels(
        "blanks in a table",
        "a.jpg | train | cat\nb.jpg | val | cat\nc.jpg | test | dog",
        {"labels.csv": "Path, Label , SPLIT\na.jpg, cat,training\nb.jpg,cat ,valid\nc.jpg,dog,testing\n"},
        at="labels.csv",
    ),
    _labels(
        "image_path and category",
        "x/a.jpg | # | cat\nx/b.jpg | # | dog",
        {"data.csv": "image_path,category\nx/a.jpg,cat\nx/b.jpg,dog\n"},
        at="data.csv",
    ),
    _labels(
        "subset",
        "a.jpg | train | cat\nb.jpg | val | dog",
        {"data.tsv": "img\tclass\tsubset\na.jpg\tcat\ttrain\nb.jpg\tdog\tvalid\n"},
        at="data.tsv",
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
        "Vertex AI's labels",
        "a.jpg | train | cat\nb.jpg | val | dog\nc.jpg | # | dog",
        {
            "import.csv": "training,gs://bucket/a.jpg,cat\nvalidation,gs://bucket/b.jpg,dog\nunassigned,gs://bucket/c.jpg,dog\n"
        },
        at="import.csv",
    ),
]
