"""The file that says what `meshlang serve` serves: models, workers, limits. TOML; every mistake is MS1660, with the place in it."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meshlang.diag import Diagnostic, MeshlangError, did_you_mean

from .sources import is_url
from .tiers import opened


@dataclass(frozen=True)
class ServedModel:
    """path: a folder, a wafer image, or (a text) its address on a server. width, height: PEs. context: tokens of prompt and answer
    together; prompt: of them, the most that are prefilled at once (others are decoded). template: a file with a chat template, in
    the place of the folder's."""

    name: str
    path: Path | str
    width: int
    height: int
    dtype: str
    context: int
    prompt: int
    arch: str
    template: Path | None = None

    @property
    def folder(self) -> Path | None:
        """None for an image."""
        return self.path if isinstance(self.path, Path) and not self.path.is_file() else None


@dataclass(frozen=True)
class Workers:
    """count: how many. width, height: PEs of a wafer. memory: bytes of host memory for chunks of images, on each. images: the folder
    where they keep what comes from servers; None: nothing is kept. bandwidth: bytes a second from memory, disk and remote, at first:
    what loads take is measured."""

    count: int
    width: int
    height: int
    memory: int = 10**9
    images: Path | None = None
    bandwidth: tuple[float, float, float] = (2e9, 5e8, 1e8)


@dataclass(frozen=True)
class Config:
    """queue: requests that may wait. timeout: seconds for a request, waiting included. grace: seconds that requests get to end
    when the server stops. keys: of the API; none: nobody is asked for one. source: the file."""

    models: list[ServedModel]
    workers: Workers
    host: str = "127.0.0.1"
    port: int = 8343
    queue: int = 256
    timeout: float = 600.0
    grace: float = 10.0
    keys: tuple[str, ...] = ()
    policy: str = "moves"
    source: Path = field(default_factory=Path)


_SIZES = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class _Table:
    """A table of the file."""

    def __init__(self, file: Path, name: str, content: Any):
        self.file, self.name = file, name
        if not isinstance(content, dict):
            raise self.bad("", f"is no table, but {content!r}")
        self.content: dict[str, Any] = dict(content)

    def bad(self, key: str, what: str, help: str | None = None) -> MeshlangError:
        where = f"{self.name}.{key}" if self.name and key else self.name or key
        return MeshlangError(Diagnostic("MS1660", f"{self.file}: {where} {what}", help=help))

    def take(self, key: str, kind: type | tuple[type, ...], expected: str, default: Any = ...) -> Any:
        if key not in self.content:
            if default is ...:
                raise self.bad(key, f"is missing: {expected}")
            return default
        value = self.content[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.bad(key, f"is {value!r}: expected {expected}")
        return value

    def count(self, key: str, default: Any = ..., least: int = 1, most: int = 10**9) -> int:
        expected = f"a whole number, {least} to {most:,}" if most < 10**9 else f"a whole number from {least} on"
        value = self.take(key, int, expected, default)
        if not least <= value <= most:
            raise self.bad(key, f"is {value}: expected {expected}")
        return int(value)

    def seconds(self, key: str, default: float) -> float:
        value = self.take(key, (int, float), "seconds, above 0", default)
        if not 0 < value < float("inf"):
            raise self.bad(key, f"is {value}: expected seconds, above 0")
        return float(value)

    def text(self, key: str, expected: str, default: Any = ...) -> str:
        value = self.take(key, str, expected, default)
        if not value:
            raise self.bad(key, f"is empty: expected {expected}")
        return str(value)

    def one_of(self, key: str, values: tuple[str, ...], default: str) -> str:
        value = self.take(key, str, " or ".join(values), default)
        if value not in values:
            raise self.bad(key, f"is {value!r}: expected {' or '.join(values)}")
        return str(value)

    def mesh(self, key: str) -> tuple[int, int]:
        value = self.take(key, str, "columns x rows, such as 16x16")
        found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", value)
        if not found:
            raise self.bad(key, f"is {value!r}: expected columns x rows, such as 16x16")
        return int(found[1]), int(found[2])

    def size(self, key: str, default: int) -> int:
        value = self.take(key, (int, str), "bytes, such as 4GB", default)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(|kB|MB|GB|TB)", str(value))
        if not found:
            raise self.bad(key, f"is {value!r}: expected bytes, such as 4GB")
        return int(float(found[1]) * _SIZES[found[2]])

    def names(self, *known: str) -> _Table:
        """The keys that there are; another one is a mistake."""
        for key in self.content:
            if key not in known:
                help = did_you_mean(key, known, "{}") or f"there are: {', '.join(known)}"
                raise self.bad(key, "is not known", help)
        return self


def read(path: str | Path) -> Config:
    """MS0901 if it cannot be read, MS1660 for what is wrong in it."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise MeshlangError(
            Diagnostic("MS0901", f"cannot read {path}: {(error.strerror or str(error)).lower()}")
        ) from None
    except UnicodeDecodeError:
        raise MeshlangError(Diagnostic("MS1660", f"{path} is no text in UTF-8")) from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MeshlangError(Diagnostic("MS1660", f"{path} is no TOML: {error}")) from None
    top = _Table(file, "", content).names("server", "workers", "models")
    table = _Table(file, "workers", top.content.get("workers", {}))
    workers = _workers(table)
    models = _models(file, top)
    for model in models:
        if model.width > workers.width or model.height > workers.height:
            raise table.bad(
                "wafer",
                f"is {workers.width}x{workers.height}: {model.name} needs {model.width}x{model.height} PEs",
                "a wafer holds every model",
            )
    return _server(_Table(file, "server", top.content.get("server", {})), models, workers)


def _workers(table: _Table) -> Workers:
    from .pool import FRAME, LEAST

    table.names("count", "wafer", "memory", "images", "bandwidth")
    width, height = table.mesh("wafer")
    memory = table.size("memory", Workers.memory)
    if memory < LEAST * FRAME:
        raise table.bad("memory", f"is {memory:,} bytes: chunks of images need at least {LEAST * FRAME:,}")
    images = None
    if "images" in table.content:
        images = table.file.parent / table.text("images", "a folder for what comes from servers")
        if images.exists() and not images.is_dir():
            raise table.bad("images", f"is {str(images)!r}, which is no folder")
    return Workers(table.count("count", most=1000), width, height, memory, images, _bandwidth(table))


def _bandwidth(workers: _Table) -> tuple[float, float, float]:
    expected = "three numbers of bytes a second, of memory, disk and remote"
    found = workers.take("bandwidth", list, expected, list(Workers.bandwidth))
    if len(found) != 3 or not all(isinstance(b, (int, float)) and 0 < b < float("inf") for b in found):
        raise workers.bad("bandwidth", f"is {found!r}: expected {expected}")
    return float(found[0]), float(found[1]), float(found[2])


def _models(file: Path, top: _Table) -> list[ServedModel]:
    entries = top.content.get("models")
    if not isinstance(entries, list) or not entries:
        raise top.bad("models", "is missing: at least one [[models]]", "[[models]] with name, path and mesh")
    out: list[ServedModel] = []
    for number, entry in enumerate(entries):
        table = _Table(file, f"models[{number}]", entry).names(
            "name", "path", "mesh", "dtype", "context", "prompt", "arch", "chat_template"
        )
        name = table.text("name", "the name that requests use")
        if any(m.name == name for m in out):
            raise table.bad("name", f"is {name!r}, as that of another model")
        given = table.text("path", "a model's folder, an image, or its address")
        path = given if is_url(given) else file.parent / given
        if isinstance(path, Path) and not path.exists():
            raise table.bad(
                "path", f"is {str(path)!r}, which is not there", "relative paths start at the file's folder"
            )
        template = None
        if "chat_template" in table.content:
            template = file.parent / table.text("chat_template", "a file with a Jinja template")
            if not template.is_file():
                raise table.bad("chat_template", f"is {str(template)!r}, which is no file")
        if isinstance(path, str) or path.is_file():
            out.append(replace(_image(table, name, path), template=template))
            continue
        width, height = table.mesh("mesh")
        context = table.count("context", 256, least=2)
        out.append(
            ServedModel(
                name,
                path,
                width,
                height,
                table.one_of("dtype", ("f16", "f32"), "f16"),
                context,
                table.count("prompt", min(context, max(1, context // 2)), least=1, most=context),
                table.one_of("arch", ("wse2", "wse3"), "wse3"),
                template,
            )
        )
    return out


def _image(table: _Table, name: str, path: Path | str) -> ServedModel:
    """A wafer image has its mesh, machine and element type; what the table says of them has to be the same (MS1614)."""
    for key in ("context", "prompt"):
        if key in table.content:
            raise table.bad(
                key, "has no use: the image was placed for its own", "leave it out, or place the model again"
            )
    with opened(path) as image:
        place = image.placement
        dtype = {"float16": "f16", "float32": "f32"}[place.dtype.name]
        image.expect(
            mesh=table.mesh("mesh") if "mesh" in table.content else None,
            arch=table.one_of("arch", ("wse2", "wse3"), image.header.arch),
            dtype={"f16": "float16", "f32": "float32"}[table.one_of("dtype", ("f16", "f32"), dtype)],
        )
    tokens = place.capacity * place.height
    return ServedModel(name, path, place.width, place.height, dtype, tokens, max(place.prompt, 1), image.header.arch)


def _server(table: _Table, models: list[ServedModel], workers: Workers) -> Config:
    from .scheduler import POLICIES

    table.names("host", "port", "queue", "timeout", "grace", "api_key", "api_key_env", "policy")
    keys = []
    if "api_key" in table.content:
        keys.append(table.text("api_key", "a secret text"))
    if "api_key_env" in table.content:
        variable = table.text("api_key_env", "the name of an environment variable")
        value = os.environ.get(variable)
        if not value:
            raise table.bad("api_key_env", f"is {variable!r}, which is not set")
        keys.append(value)
    return Config(
        models,
        workers,
        table.text("host", "an address", Config.host),
        table.count("port", Config.port, least=0, most=65535),
        table.count("queue", Config.queue, least=0),
        table.seconds("timeout", Config.timeout),
        table.seconds("grace", Config.grace),
        tuple(keys),
        table.one_of("policy", tuple(POLICIES), Config.policy),
        table.file,
    )
