"""Sphinx: `nox -s docs`. The heavy packages are mocked, so that building needs neither torch nor a minute."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
# Sphinx sees only its own folder. `nox -s docs` has run the notebooks; without it they are shown without results.
EXECUTED = ROOT / "docs" / "_build" / "demo" / "classification" / "notebooks"
SHOWN = ROOT / "docs" / "start" / "notebooks"
shutil.copytree(ROOT / "notebooks", SHOWN, dirs_exist_ok=True)
if EXECUTED.exists():
    shutil.copytree(EXECUTED, SHOWN, dirs_exist_ok=True)

project = "onlineml"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
copyright = "the onlineml authors, Apache-2.0"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "**.ipynb_checkpoints", "examples"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # they were run before
nb_number_source_lines = False

autodoc_mock_imports = [
    "albumentations",
    "cv2",
    "lightning",
    "pandas",
    "pytorch_lightning",
    "s3fs",
    "safetensors",
    "timm",
    "torch",
    "torchvision",
]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
default_role = "py:obj"  # a link where the name is documented, plain code elsewhere
napoleon_use_ivar = True  # attributes as a list
napoleon_use_rtype = False

html_theme = "furo"
html_title = "onlineml"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["wrap.css"]
