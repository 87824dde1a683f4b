"""A model as Hugging Face keeps it: a folder with config.json, weights in safetensors files, and a tokenizer.

The weights are a mapping from names to arrays that reads what is asked for and nothing else: the files are mapped into
memory, so a model may be larger than the memory of the host. A safetensors file is 8 bytes with the length of a header
in JSON, the header (of each tensor: type, shape, place), and the tensors' bytes. It is read here and not through the
library of that name, because numpy has no bfloat16 and the library gives none then.

Everything that can be wrong with a folder is found when it is opened, before anything runs: MS141x.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .families import model_error
from .llama_config import LlamaConfig, read_object

# what the elements of a tensor are; bfloat16 is the upper half of a float32
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_HEADER = 100_000_000  # bytes; no header is larger


@dataclass(frozen=True)
class _Tensor:
    file: Path
    kind: str
    shape: tuple[int, ...]
    start: int  # in the file, in bytes

    def map(self) -> np.ndarray:
        if 0 in self.shape:
            return np.zeros(self.shape, _TYPES[self.kind])
        return np.memmap(self.file, _TYPES[self.kind], "r", self.start, self.shape)


class Checkpoint(Mapping[str, np.ndarray]):
    """The configuration and the weights of a folder. Arrays are float64, float32 or float16; bfloat16 becomes float32,
    which holds all of its values.

    MS1410 no such folder or no weights in it, MS1411 damaged file, MS1412 an element type that is not supported, MS1413
    files and index disagree; MS0990 and MS1400 the configuration, MS0994 and MS1401 weights that it does not fit.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        try:
            if not self.folder.is_dir():
                what = "is no folder" if self.folder.exists() else "does not exist"
                raise model_error("MS1410", f"{folder} {what}", "name the folder that holds the model's config.json")
            if not (self.folder / "config.json").is_file():
                raise model_error("MS1410", f"{folder} has no config.json", f"it has: {_listing(self.folder)}")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise model_error("MS1410", f"cannot read {folder}: {reason}", "name a folder that you may read") from None
        self.config = LlamaConfig.from_json(self.folder / "config.json")
        self._tensors = _tensors(self.folder)
        self._check()

    def _check(self) -> None:
        shapes = self.config.shapes()
        self.config.check_names(self._tensors)
        for name, shape in shapes.items():
            tensor = self._tensors.get(name)
            if tensor is None:
                raise model_error(
                    "MS0994", f"the weights have no {name!r}", f"expected a tensor of shape {list(shape)}"
                )
            if tensor.shape != shape:
                raise model_error(
                    "MS0994", f"{name!r} has shape {list(tensor.shape)}, but the configuration says {list(shape)}"
                )

    def __getitem__(self, name: str) -> np.ndarray:
        return self.rows(name, slice(None))

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def rows(self, name: str, index: Any) -> np.ndarray:
        """Some of a tensor's rows."""
        tensor = self._tensors[name]
        part = tensor.map()[index]
        if tensor.kind == "BF16":
            return (part.astype(np.uint32) << 16).view(np.float32)
        return part

    def types(self) -> dict[str, int]:
        """Element types of the weights, and how many bytes there are of each."""
        out: dict[str, int] = {}
        for t in self._tensors.values():
            out[t.kind] = out.get(t.kind, 0) + math.prod(t.shape) * np.dtype(_TYPES[t.kind]).itemsize
        return out

    def digest(self) -> str:
        """SHA-256 of all tensors: names, types, shapes and bytes, in order of name."""
        digest = hashlib.sha256()
        for name in sorted(self._tensors):
            tensor = self._tensors[name]
            digest.update(f"{name} {tensor.kind} {tensor.shape} ".encode())
            digest.update(np.ascontiguousarray(tensor.map()).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def end_tokens(self) -> frozenset[int]:
        """The tokens that end a text: eos_token_id of generation_config.json, else of config.json."""
        for file in ("generation_config.json", "config.json"):
            path = self.folder / file
            if path.is_file():
                found = read_object(path).get("eos_token_id")
                numbers = found if isinstance(found, list) else [found]
                if all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
                    return frozenset(numbers)
        return frozenset()


def _listing(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir())
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing"


def _tensors(folder: Path) -> dict[str, _Tensor]:
    """All tensors of a folder: of model.safetensors, or of the files that its index names."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        where = read_object(index, "MS1411").get("weight_map")
        if not isinstance(where, dict) or not where or not all(isinstance(f, str) for f in where.values()):
            raise model_error("MS1411", f"{index} has no weight_map from tensors to files")
        found: dict[str, _Tensor] = {}
        for file in sorted(set(where.values())):
            if Path(file).name != file or not (folder / file).is_file():
                raise model_error("MS1413", f"{index.name} names the file {file!r}, which is not in {folder}")
            for name, tensor in _read_header(folder / file).items():
                if name in found or where.get(name) != file:
                    place = f"in {found[name].file.name}, too" if name in found else f"not said by {index.name}"
                    raise model_error("MS1413", f"{file} has a tensor {name!r}, which is {place}")
                found[name] = tensor
        missing = sorted(set(where) - set(found))
        if missing:
            raise model_error(
                "MS1413", f"{index.name} says that {missing[0]!r} is in {where[missing[0]]}, which does not have it"
            )
        return found
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return _read_header(files[0])
    if files:
        names = ", ".join(f.name for f in files[:4])
        raise model_error("MS1413", f"{folder} has {len(files)} safetensors files and no {index.name}: {names}")
    others = sorted(
        (p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".gguf")),
        key=lambda n: n.endswith(".gguf"),
    )
    raise model_error(
        "MS1410",
        f"{folder} has no safetensors file",
        (
            f"meshlang llm convert {others[-1]} -o FOLDER"
            if others and others[-1].endswith(".gguf")
            else f"{others[0]} is not read; save the model as safetensors"
            if others
            else f"it has: {_listing(folder)}"
        ),
    )


def _read_header(file: Path) -> dict[str, _Tensor]:
    def damaged(what: str) -> Exception:
        return model_error("MS1411", f"{file} is no complete safetensors file: {what}", "fetch it again")

    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > min(size - 8, _HEADER):
                raise damaged(f"it has {size:,} bytes, and a header of {length:,} should be in it")
            header = json.loads(stream.read(length))
    except OSError as error:
        raise model_error("MS0901", f"cannot read {file}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError):
        raise damaged("its header is not JSON") from None
    if not isinstance(header, dict):
        raise damaged("its header is no JSON object")
    tensors = {}
    places = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            if not all(isinstance(n, int) and n >= 0 for n in (*shape, start, end)):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise damaged(f"the entry of {name!r} has no type, shape and place") from None
        if kind not in _TYPES:
            raise model_error(
                "MS1412",
                f"{name!r} in {file.name} has elements of type {kind}",
                f"supported: {', '.join(_TYPES)}; quantised weights have to be converted first",
            )
        need = math.prod(shape) * np.dtype(_TYPES[kind]).itemsize
        if end - start != need:
            raise damaged(f"{name!r} of shape {list(shape)} takes {need:,} bytes, and has {end - start:,}")
        if 8 + length + end > size:
            raise damaged(f"{name!r} ends {8 + length + end - size:,} bytes behind the end of the file")
        places.append((start, end, name))
        tensors[name] = _Tensor(file, kind, shape, 8 + length + start)
    places.sort()
    for (_, end, one), (start, _, other) in zip(places, places[1:]):
        if start < end:
            raise damaged(f"{one!r} and {other!r} lie over each other")
    return tensors
