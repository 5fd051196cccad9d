"""Fetch the newest model: `python update.py URL`, where URL is the folder that `oml.release` wrote; run it by a timer.

One small request tells whether there is a newer one. Its files are checked against their hashes before predict.py,
beside this file, is pointed to them in one step. It fetches data, never code. http, https and file need nothing but
Python; s3 and others need fsspec. Exit code: 0 if the newest model is in use, 1 if not, and then nothing has changed.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CURRENT, SEEN = HERE / "current.txt", HERE / "seen.json"  # the folder in use; the answer of the last request
NAMES = {"model.onnx", "model.xml", "model.bin", "export.json", "certificate.json", "certificate.html", "README.md"}
FORMAT, MOST = 1, 1_000_000  # of latest.json, the second in bytes
DAY = 86_400  # seconds


def fetch(url: str, most: int, tag: str = "") -> tuple[bytes, str]:
    """Return a file and its ETag; no bytes if it still has the tag."""
    if not re.match(r"(https?|file)://", url):
        import fsspec

        with fsspec.open(url, "rb") as file:
            data, tag = file.read(most + 1), ""
    else:
        request = urllib.request.Request(url, headers={"If-None-Match": tag} if tag else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                data, tag = answer.read(most + 1), answer.headers.get("ETag", "")
        except urllib.error.HTTPError as error:
            if error.code != 304:
                raise ValueError(f"{url}: {error}") from error
            data = b""
    if len(data) > most:
        raise ValueError(f"{url} has more than {most} bytes")
    return data, tag


def write(path: Path, data: bytes) -> None:
    """Write a file that survives a power cut; readers see the old one or the new one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def download(url: str, files: dict[str, Any], folder: Path) -> None:
    """Download the files into a new folder, which appears when all hashes are right."""
    draft = HERE / f"draft-{os.getpid()}"
    for old in HERE.glob("draft-*"):  # of runs that lost power; a process of this number is this one
        if old == draft or abs(time.time() - old.stat().st_mtime) > DAY:
            shutil.rmtree(old, ignore_errors=True)
    draft.mkdir()
    try:
        for name in NAMES & files.keys():
            data, _ = fetch(f"{url}/{folder.name}/{name}", files[name]["bytes"])
            if hashlib.sha256(data).hexdigest() != files[name]["sha256"]:
                raise ValueError(f"{name} is damaged: its checksum is not that of latest.json")
            write(draft / name, data)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def tag_of(url: str, folder: str) -> str:
    """Return the ETag of the last answer, if it led to this folder, and the folder is there."""
    try:
        seen = json.loads(SEEN.read_text("utf-8"))
        same = (seen["url"], seen["folder"]) == (url, folder) and (HERE / folder).is_dir()
        return str(seen["tag"]) if same else ""
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: ask without
        return ""


def update(url: str) -> str:
    """Use the newest model; return what was done."""
    before = CURRENT.read_text("utf-8") if CURRENT.exists() else ""
    body, tag = fetch(f"{url}/latest.json", MOST, tag_of(url, before))
    if not body:
        return f"{before} is the newest"
    latest = json.loads(body)
    graphs = {"model.onnx", "export.json"}, {"model.xml", "model.bin", "export.json"}
    if latest["format"] != FORMAT or not any(names <= latest["files"].keys() for names in graphs):
        raise ValueError("latest.json is of another kind: take the programs of a newer export")
    if not re.fullmatch(r"model-[0-9a-f]{12}", latest["folder"]):
        raise ValueError(f"latest.json names the folder {latest['folder']!r}: expected model-<12 hex digits>")
    folder = HERE / latest["folder"]
    if not folder.is_dir():
        download(url, latest["files"], folder)
    if folder.name != before:
        write(CURRENT, folder.name.encode())
    write(SEEN, json.dumps({"url": url, "folder": folder.name, "tag": tag}).encode())
    for old in HERE.glob("model-*"):
        if old.name not in {folder.name, before}:
            shutil.rmtree(old, ignore_errors=True)
    return f"{folder.name} ({latest['version']}) is in use" if folder.name != before else f"{before} is the newest"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python update.py URL, of the folder that oml.release wrote")
    try:
        print(update(sys.argv[1].rstrip("/")))
    except Exception as error:
        sys.exit(f"no update: {error}")
