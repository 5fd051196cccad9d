"""Layouts of images with labels, as public data sets and programs lay them."""

from __future__ import annotations

from functools import partial

from layouts import Layout

__all__ = ["LABELS"]

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
    _labels("a class called test", also="exam/a.jpg test/b.jpg", refused=("'test'", "'exam'", "split='hash'")),
    _labels(
        "classes that mention splits",
        also="train_cat/a.jpg train_dog/b.jpg test_cat/c.jpg",
        refused=("'test_cat', 'train_cat'", "split='folders'", "split='hash'"),
    ),
    _labels(
        "splits among other words",
        also="rps/rps/rock/a.png rps-test-set/rps-test-set/rock/b.png rps-validation/c.png",
        refused=("'rps-test-set', 'rps-validation'", "'rps'", "split='folders'"),
    ),
    _labels(
        "splits among other words, with classes",
        "pets_train_v2/cat/a.jpg | train | cat\npets_final_test/cat/b.jpg | test | cat",
    ),
    _labels(
        "PlantVillage of Kaggle",
        also="PlantVillage/Pepper/a.jpg PlantVillage/Potato/b.jpg PlantVillage/PlantVillage/Pepper/a.jpg",
        refused=("'PlantVillage'", "'Pepper'", "by its own address", "split='hash'"),
    ),
    _labels("xView", also="train_images/1.png", others={"xView_train.geojson": {"features": []}}, refused=("geojson",)),
    _labels("one folder of pictures", "a.jpg | # | ?\nb.jpg | # | ?"),
    _labels(
        "flowers-102",
        also="jpg/image_00001.jpg jpg/image_00002.jpg",
        others={"imagelabels.mat": b"m"},
        refused=("imagelabels.mat",),
    ),
    _labels(
        "Dogs vs Cats of Kaggle",
        "train/cat.0.jpg | train | ?\ntrain/dog.0.jpg | train | ?\ntest1/1.jpg | test | ?",
        says=("without labels",),
    ),
    _labels(
        "variants of the same pictures",
        """
        color/Apple/a.jpg | # | color
        color/Tomato/b.jpg | # | color
        grayscale/Apple/a.jpg | # | grayscale
        grayscale/Tomato/b.jpg | # | grayscale
        """,
        says=("'color/Apple'", "import their parent"),
    ),
    _labels(
        "Cityscapes",
        also="leftImg8bit/train/aachen/a_leftImg8bit.png gtFine/train/aachen/a_gtFine_color.png",
        others={"gtFine/train/aachen/a_gtFine_polygons.json": {"objects": []}},
        refused=("leftImg8bit",),
    ),
    _labels(
        "ADE20K", also="images/training/a.jpg images/validation/b.jpg annotations/training/a.png", refused=("images",)
    ),
    _labels(
        "Penn-Fudan",
        also="PNGImages/a.png PedMasks/a_mask.png",
        others={"Annotation/a.txt": "x"},
        refused=("PedMasks",),
    ),
    _labels(
        "Tiny ImageNet",
        """
        train/n01/images/n01_0.JPEG | train | n01
        train/n02/images/n02_0.JPEG | train | n02
        val/images/val_0.JPEG | val | ?
        test/images/test_0.JPEG | test | ?
        """,
        {"val/val_annotations.txt": "val_0.JPEG\tn01\t0\t0\t5\t5", "train/n01/n01_boxes.txt": ""},
        says=("2 of 4 images", "unlabelled"),
    ),
    _labels(
        "GTSRB of Kaggle",
        "Train/0/a.png | train | 0\nTrain/1/b.png | train | 1\nTest/00000.png | test | ?\nMeta/0.png | - | ?",
        {"Train.csv": "Roi.X1,ClassId,Path\n5,0,Train/0/a.png\n", "Meta.csv": "Path,ClassId\nMeta/0.png,0\n"},
        says=("'Meta'", "2 .csv files were not read"),
    ),
    _labels(
        "Stanford Dogs",
        "Images/n02-Pug/n02_7.jpg | # | n02-Pug\nImages/n03-Collie/n03_1.jpg | # | n03-Collie",
        {"Annotation/n02-Pug/n02_7": "<annotation/>"},
    ),
    _labels(
        "HaGRID",
        "call/a.jpg | # | call\nfist/b.jpg | # | fist",
        {"ann_train_val/call.json": {"a": {"bboxes": [[0.1, 0.2, 0.3, 0.4]], "labels": ["call"]}}},
        says=("1 .json file was not read",),
    ),
    _labels(
        "Market-1501",
        also="bounding_box_train/0002_c1s1.jpg query/0001_c1.jpg bounding_box_test/0001_c1.jpg",
        refused=("'query'", "split='folders'"),
    ),
    # ---- tables ----
    _labels(
        "EuroSAT with tables of splits",
        "EuroSAT/Forest/f.jpg | train | Forest\nEuroSAT/River/r.jpg | test | River",
        {
            "EuroSAT/train.csv": ",Filename,Label,ClassName\n0,Forest/f.jpg,0,Forest\n",
            "EuroSAT/test.csv": ",Filename,Label,ClassName\n0,River/r.jpg,1,River\n",
        },
    ),
    _labels(
        "GTSRB",
        "Images/00000/0.ppm | # | 0\nImages/00001/0.ppm | # | 1",
        {
            "Images/00000/GT-00000.csv": "Filename;Roi.X1;ClassId\n0.ppm;5;0\n",
            "Images/00001/GT-00001.csv": "Filename;Roi.X1;ClassId\n0.ppm;5;1\n",
        },
    ),
    _labels(
        "a table of test images, and one of which no column is known",
        "test/a.jpg | test | cat",
        {"test.csv": "path,label\ntest/a.jpg,cat\n", "train.csv": "path,what\ntrain/b.jpg,dog\n"},
        also="train/b.jpg",
        says=("'train.csv'", "label="),
    ),
    _labels(
        "Label Studio's CSV",
        "a.jpg | # | cat",
        {"export.csv": "annotation_id,annotator,choice,id,image,lead_time\n1,1,cat,1,/data/upload/1/a.jpg,1.0\n"},
    ),
    _labels(
        "Label Studio's CSV with boxes",
        also="a.jpg",
        others={"export.csv": 'image,label\na.jpg,"[{""x"": 1, ""rectanglelabels"": [""cat""]}]"\n'},
        refused=("an object of JSON", "label="),
    ),
    Layout(
        "columns of 0 and 1 beside others",
        "a.jpg | # | day\nb.jpg | # | blurry, day",
        {"labels.csv": "path,animal,day,blurry\na.jpg,cat,1,0\nb.jpg,dog,1,1\n"},
        task="multilabel",
        says=("'day', 'blurry'", "label="),
    ),
    _labels(
        "Ground Truth of two jobs",
        "a.jpg | # | cat",
        {
            "o.manifest": {
                "source-ref": "s3://b/a.jpg",
                "one": 0,
                "one-metadata": {"class-name": "cat", "type": "groundtruth/image-classification"},
                "two": {"image_size": [], "annotations": []},
                "two-metadata": {"class-map": {}, "type": "groundtruth/object-detection"},
            }
        },
        says=("'two'", "label="),
    ),
    _labels(
        "dog breeds of Kaggle",
        "train/a.jpg | # | beagle\ntrain/b.jpg | # | collie",
        {"labels.csv": "id,breed\na,beagle\nb,collie\n", "sample_submission.csv": "id,beagle\nc,0.5\n"},
        also="test/c.jpg",
        says=("1 image is not in labels.csv",),
    ),
    _labels(
        "FairFace",
        also="train/1.jpg val/1.jpg",
        others={
            "label_train.csv": "file,age,race\ntrain/1.jpg,50,Asian\n",
            "label_val.csv": "file,age\nval/1.jpg,20\n",
        },
        refused=("label_train.csv",),
    ),
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
        "a table beside the folder of images",
        "images/a.jpg | # | cat\nimages/b.jpg | # | dog",
        {"labels.csv": "filename,label\na.jpg,cat\nb.jpg,dog\n"},
    ),
    _labels(
        "Cassava",
        "train_images/1.jpg | # | 0\ntrain_images/2.jpg | # | 3",
        {"train.csv": "image_id,label\n1.jpg,0\n2.jpg,3\n"},
        at="train.csv",
    ),
    _labels(
        "CIFAR-10 of Kaggle",
        "train/1.png | # | frog\ntrain/2.png | # | truck",
        {"trainLabels.csv": "id,label\n1,frog\n2,truck\n"},
        at="trainLabels.csv",
    ),
    _labels(
        "ISIC of two folders",
        "part_1/ISIC_1.jpg | # | nv\npart_2/ISIC_2.jpg | # | mel",
        {"metadata.csv": "lesion_id,image_id,dx\nHAM_1,ISIC_1,nv\nHAM_2,ISIC_2,mel\n"},
        at="metadata.csv",
    ),
    _labels(
        "Hugging Face ImageFolder with a table",
        "train/0001.png | train | cat\ntrain/0002.png | train | dog\ntest/0003.png | test | dog",
        {
            "train/metadata.csv": "file_name,label\n0001.png,cat\n0002.png,dog\n",
            "test/metadata.csv": "file_name,label\n0003.png,dog\n",
        },
    ),
    _labels(
        "Hugging Face ImageFolder with lines of JSON",
        "0001.png | # | cat\n0002.png | # | dog",
        {"metadata.jsonl": '{"file_name": "0001.png", "label": "cat"}\n{"file_name": "0002.png", "label": "dog"}\n'},
    ),
    _labels(
        "Hugging Face ImageFolder with another name for its labels",
        "0.png | # | fox",
        {"metadata.jsonl": '{"file_name": "0.png", "Class Name": "fox"}\n'},
    ),
    _labels(
        "Roboflow's folders of classes",
        "train/cat/a.jpg | train | cat\nvalid/dog/b.jpg | val | dog\ntest/dog/c.jpg | test | dog",
        {"README.roboflow.txt": "pets", "README.dataset.txt": "pets"},
    ),
    Layout(
        "Roboflow's table of classes",
        "train/a.jpg | train | cat, dog\ntrain/b.jpg | train |\nvalid/c.jpg | val | dog",
        {
            "train/_classes.csv": "filename, cat, dog\na.jpg, 1, 1\nb.jpg, 0, 0\n",
            "valid/_classes.csv": "filename, cat, dog\nc.jpg, 0, 1\n",
            "README.roboflow.txt": "pets",
        },
        task="multilabel",
    ),
    _labels(
        "FiftyOne's classification",
        also="data/a.jpg data/b.jpg",
        others={"labels.json": {"classes": ["cat", "dog"], "labels": {"a": 0, "b": 1}}},
        refused=("labels.json",),
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
    _labels(
        "ChestX-ray14",
        "images/a.png | # | ?\nimages/b.png | # | ?",
        {"Data_Entry.csv": "Image Index,Finding Labels\na.png,Cardiomegaly|Effusion\nb.png,No Finding\n"},
        at="Data_Entry.csv",
        says=("'Finding Labels'", "label="),
    ),
    _labels(
        "a table in another encoding",
        also="a.jpg b.jpg",
        others={"labels.csv": "path,label\na.jpg,caf\u00e9\nb.jpg,th\u00e9\n".encode("latin-1")},
        refused=("labels.csv, line 2: the byte 0xE9", "UTF-8"),
    ),
]
