"""Wafer images: the same tokens and cycles as the folder, layers that can be read alone, and nothing damaged that is accepted."""

from __future__ import annotations

import inspect
import json
import os
import random
import shutil
import signal
import threading
import time

import numpy as np
import pytest
from checkpoints import write_model, write_tokenizer

from meshlang import MeshlangError
from meshlang.cli import main
from meshlang.fabric.machine import Machine
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.fit import place
from meshlang.models.llama import Placement
from meshlang.models.runner import Weights
from meshlang.serve import image_format
from meshlang.serve.image import THREADS, FileImage, Image, ImageStore, joined
from meshlang.serve.image_format import PAGE, PREFIX, Part
from meshlang.serve.image_write import write_image

PROMPT = [5, 9, 11, 30, 17, 2, 60]
MUTATIONS = 2000
LIES = "MS0902 MS0990 MS0991 MS0992 MS0993 MS1400 MS1415 MS1431 MS1432 MS1611 MS1612 MS1613".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    write_model(path, "BF16", seed=3)
    write_tokenizer(path)
    return path


def make(folder, path, height, width, dtype=np.float32, **more):
    checkpoint = Checkpoint(folder)
    placement = place(checkpoint.config, height, width, dtype=dtype, **more)
    write_image(path, checkpoint, placement)
    return path


@pytest.fixture(scope="module")
def small(folder, tmp_path_factory):
    """On 2 x 2 PEs, streamed, with a prefill: layers twice."""
    path = tmp_path_factory.mktemp("small") / "small.wimg"
    return make(folder, path, 2, 2, tokens=8, prompt=4, mode="streamed")


def run(capsys, *arguments, code=0):
    assert main(["llm", *map(str, arguments)]) == code
    return capsys.readouterr()


def refused(action) -> str:
    with pytest.raises(MeshlangError) as found:
        action()
    return found.value.diagnostics[0].code


@pytest.mark.parametrize(
    "mesh, dtype, mode, prompt",
    [
        ("3x3", "f32", "resident", 7),
        ("3x2", "f32", "streamed", 7),
        ("2x3", "f16", "resident", 7),
        ("5x1", "f32", "streamed", 3),
    ],
)
def test_tokens_and_cycles_are_those_of_the_folder(folder, tmp_path, capsys, mesh, dtype, mode, prompt):
    tokens = ("--tokens", ",".join(map(str, PROMPT[:prompt])), "--new", 6, "--ignore-eos", "--json")
    placed = ("--mesh", mesh, "--dtype", dtype, "--layers", mode)
    want = json.loads(run(capsys, "generate", folder, *placed, *tokens).out)
    path = tmp_path / "model.wimg"
    run(capsys, "place", folder, *placed, "--context", prompt + 5, "--prefill", prompt - 1, "-o", path)
    assert json.loads(run(capsys, "generate", path, *tokens).out) == want
    assert json.loads(run(capsys, "generate", path, *placed, *tokens).out) == want


@pytest.mark.parametrize("mode", ["resident", "streamed"])
def test_experts_of_an_image(tmp_path, capsys, mode):
    """Prefilled with a router that is turned, and with panels of all experts."""
    folder, path = tmp_path / "model", tmp_path / "model.wimg"
    write_model(
        folder,
        seed=3,
        model_type="mixtral",
        architectures=["MixtralForCausalLM"],
        num_local_experts=4,
        num_experts_per_tok=2,
    )
    tokens = ("--tokens", ",".join(map(str, PROMPT)), "--new", 3, "--ignore-eos", "--json")
    placed = ("--mesh", "4x2", "--dtype", "f32", "--layers", mode)
    want = json.loads(run(capsys, "generate", folder, *placed, *tokens).out)
    assert want["prefill_tokens"] == 6 and len(want["routes"]) == 9
    run(capsys, "place", folder, *placed, "--context", 10, "--prefill", 6, "-o", path)
    assert json.loads(run(capsys, "generate", path, *tokens).out) == want


def test_text_and_end_come_with_the_image(folder, small, tmp_path, capsys):
    pytest.importorskip("tokenizers", reason="the extra llm is not installed")
    got = json.loads(run(capsys, "generate", small, "--prompt", "cab", "--new", 2, "--json").out)
    assert got["turns"][0]["prompt"] == [1, 6, 4, 5] and len(got["text"]) <= 2
    assert FileImage(small).header.ends == (2,)
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    (bare / "tokenizer.json").unlink()
    path = make(bare, tmp_path / "bare.wimg", 1, 2, tokens=4)
    assert "MS1415" in run(capsys, "generate", path, "--prompt", "cab", code=1).err
    run(capsys, "generate", path, "--tokens", "5", "--new", 1)


def test_layers_are_apart_and_as_placed(folder, small):
    image = FileImage(small)
    store = Weights(image.placement, Checkpoint(folder))
    for layer in range(2):
        for settled in (False, True):
            segment = image.header.find("layer", layer, settled)
            chunks = image.chunks_of(segment)
            row = image.header.row_bytes(segment)
            assert segment.offset % PAGE == row % PAGE == 0
            raw = np.concatenate([image.data(c) for c in chunks]).reshape(2, row)[:, : 2 * segment.bytes]
            raw = raw.reshape(2, 2, segment.bytes)
            arrays = dict(store.place.layer_weights(store.weights, layer, settled))
            assert {p.symbol for p in segment.parts} == set(arrays)
            for part in segment.parts:
                data = np.ascontiguousarray(raw[:, :, part.offset : part.offset + part.bytes]).view(np.float32)
                assert np.array_equal(data, arrays[part.symbol])


def test_chunks_of_rows_and_of_parts_of_rows(folder, small, tmp_path, monkeypatch):
    """With tiny chunks an image has rows of PEs in several of them; what is read back is the same."""
    plain = FileImage(small).runner().feed(PROMPT[:5])
    for size in (256, 40_000):
        monkeypatch.setattr(image_format, "CHUNK", size)
        path = make(folder, tmp_path / f"{size}.wimg", 2, 2, tokens=8, prompt=4, mode="streamed")
        image = FileImage(path)
        assert any(c.columns == 1 for c in image.chunks) == (size == 256)
        assert sum(c.size for c in image.chunks) == image.header.end - image.chunks[0].offset
        assert np.array_equal(image.runner().feed(PROMPT[:5]), plain)


def test_memories_that_are_not_evenly_spaced(small, monkeypatch):
    image = FileImage(small)
    fabrics = [image.program.start() for _ in range(3)]
    ImageStore(image).write_layer(fabrics[0], 1, settled=True)
    monkeypatch.setattr(Machine, "window", lambda *_: None)
    ImageStore(image).write_layer(fabrics[1], 1, settled=True)
    one, other, empty = (f.session.machine.memory for f in fabrics)
    assert np.array_equal(one, other) and not np.array_equal(one, empty)


def test_joined():
    parts = [Part("a", 0, 4, 100), Part("b", 4, 6, 104), Part("c", 10, 2, 112)]
    assert [(p.offset, p.bytes, p.address) for p in joined(parts)] == [(0, 10, 100), (10, 2, 112)]


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT") or not hasattr(os, "posix_fadvise"), reason="for Linux")
def test_the_payload_is_read_ahead(folder, tmp_path, monkeypatch):
    """Into the system's cache, while the program is read; a file that has become shorter is found by whoever uses it."""
    monkeypatch.setattr(image_format, "CHUNK", PAGE)
    path = make(folder, tmp_path / "model.wimg", 4, 4, tokens=16, mode="resident")
    opened = FileImage(path)
    chunks = opened.payload()
    assert len(chunks) >= 2 * THREADS
    os.sync()
    os.posix_fadvise(opened._file, 0, 0, os.POSIX_FADV_DONTNEED)
    if opened._at_hand(chunks[-1]):
        pytest.skip("this file system keeps what it is asked to drop")
    before = set(threading.enumerate())
    opened.read_ahead()
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert all(map(opened._at_hand, chunks))
    os.truncate(path, chunks[-1].offset)
    opened._read_ahead(chunks)
    assert refused(lambda: opened.data(chunks[-1])) == "MS1611"


def test_an_image_for_something_else(small, folder, capsys):
    for option, value in (
        ("--mesh", "4x4"),
        ("--dtype", "f16"),
        ("--arch", "wse2"),
        ("--layers", "resident"),
        ("--regions", 2),
    ):
        err = run(capsys, "generate", small, option, value, "--tokens", "5", code=1).err
        assert "MS1614" in err and str(value).replace("x", " x ") in err.replace("float", "f")
    assert "MS0993" in run(capsys, "generate", small, "--tokens", "5", "--new", 99, code=1).err
    assert "MS1610" in run(capsys, "generate", folder / "config.json", "--tokens", "5", code=1).err
    assert "--mesh is missing" in run(capsys, "generate", folder, "--tokens", "5", code=2).err
    text = run(capsys, "info", small).out
    assert "2 x 2 PEs" in text and FileImage(small).identity in text
    found = json.loads(run(capsys, "info", small, "--json").out)
    assert found["weights_sha256"] == Checkpoint(folder).digest()


def test_an_image_is_written_whole_or_not_at_all(folder, tmp_path):
    path = tmp_path / "model.wimg"
    path.write_bytes(b"before")
    bad = tmp_path / "bad"
    weights = write_model(bad, seed=1)
    weights["model.layers.1.mlp.down_proj.weight"][3, 3] = np.inf
    write_model(bad, weights=weights)
    assert refused(lambda: make(bad, path, 2, 2, tokens=4)) == "MS1402"
    assert path.read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad", "model.wimg"]


def test_killed_while_writing(folder, small, tmp_path, monkeypatch):
    """kill -9 at twenty moments: what was there before, or the whole image."""
    image = FileImage(small)
    program = image.program
    monkeypatch.setattr("meshlang.serve.image_write.api.compile", lambda *_, **__: program)
    path = tmp_path / "model.wimg"
    rng = random.Random(4)
    whole = 0.2
    seen = set()
    for trial in range(20):
        path.write_bytes(b"before")
        began = time.monotonic()
        child = os.fork()
        if not child:
            try:
                write_image(path, Checkpoint(folder), image.placement)
            finally:
                os._exit(0)
        if trial:
            time.sleep(rng.uniform(0, whole))
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        whole = time.monotonic() - began if not trial else whole
        if path.read_bytes() != b"before":
            assert FileImage(path).identity == image.identity
            FileImage(path).verify()
        seen.add(path.stat().st_size)
    assert seen == {6, small.stat().st_size}


def test_arguments_are_all_of_a_placement(small):
    """What is added to `Placement` belongs into images."""
    named = set(inspect.signature(Placement).parameters) - {"config", "advise"}
    assert set(FileImage(small).placement.arguments()) == named


def test_versions(small, tmp_path, monkeypatch):
    monkeypatch.setattr("meshlang.serve.image.VERSION", 99)
    assert refused(lambda: FileImage(small).runner()) == "MS1612"
    data = bytearray(small.read_bytes())
    data[8] = 7
    (tmp_path / "x.wimg").write_bytes(data)
    assert refused(lambda: FileImage(tmp_path / "x.wimg")) == "MS1612"


# ------------------------------------------------------------ damage


class Bytes(Image):
    """An image in memory, for many damaged ones."""

    def __init__(self, data: bytes):
        from meshlang.serve.image import read_header

        header, identity = read_header(lambda at, n: data[at : at + n], len(data), "x.wimg")
        super().__init__("x.wimg", header, identity)
        self._data = np.frombuffer(data, np.uint8)

    def data(self, chunk):
        data = self._data[chunk.offset : chunk.offset + chunk.size]
        self.check(chunk, data)
        return data

    def transfer(self, chunks, write):
        for chunk in chunks:
            write(chunk, self.data(chunk))


def test_every_flipped_bit_and_cut_is_refused(small, tmp_path):
    data = small.read_bytes()
    rng = random.Random(5)
    header = int.from_bytes(data[12:16], "little") + PREFIX
    codes = set()
    for i in range(MUTATIONS):
        changed = bytearray(data)
        kind = i % 5
        if kind == 0:
            changed = changed[: rng.randrange(len(data))]
        elif kind == 1:
            changed += bytes(rng.randrange(1, 5000))
        elif kind == 2:
            at = rng.randrange(header)
            changed[at] ^= 1 << rng.randrange(8)
        else:
            at = rng.randrange(len(data))
            changed[at] ^= 1 << rng.randrange(8)
        codes.add(refused(lambda changed=changed: Bytes(bytes(changed)).verify()))
    assert codes - {"MS1612"} == {"MS1610", "MS1611", "MS1613"}
    # the file itself
    cut = tmp_path / "cut.wimg"
    for size in (0, 7, 40, PAGE, len(data) - 1):
        cut.write_bytes(data[:size])
        assert refused(lambda: FileImage(cut)) in ("MS1610", "MS1611")


@pytest.mark.parametrize("mode", ["resident", "streamed"])
def test_what_goes_to_the_fabric_is_refused(folder, tmp_path, mode):
    """A flipped bit of the payload, and a file that is cut off after it was opened, before anything is computed from it."""
    path = make(folder, tmp_path / "x.wimg", 2, 2, tokens=8, mode=mode)
    data = path.read_bytes()
    rng = random.Random(7)
    chunks = [chunk for chunk in FileImage(path).chunks if chunk.segment.mesh]
    for chunk in rng.sample(chunks, min(6, len(chunks))):
        changed = bytearray(data)
        changed[chunk.offset + rng.randrange(chunk.size)] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        assert refused(lambda: FileImage(path).runner().feed(PROMPT[:2])) == "MS1613"
    path.write_bytes(data)
    image = FileImage(path)
    runner = image.runner()
    for chunk in (chunks[-1], chunks[0]):
        os.truncate(path, chunk.offset + 10)
        assert refused(lambda: runner.feed(PROMPT[:2]) if mode == "streamed" else image.runner()) == "MS1611"


def test_headers_that_lie(small):
    """Headers with a right digest that say something else: refused, or what they say is of no consequence."""
    pytest.importorskip("tokenizers", reason="the extra llm is not installed")
    data = small.read_bytes()
    rng = random.Random(6)
    length = int.from_bytes(data[12:16], "little")
    start = image_format.aligned(PREFIX + length)
    document = json.loads(data[PREFIX : PREFIX + length])
    harmless = 0
    for _ in range(MUTATIONS // 4):
        changed = json.loads(json.dumps(document))
        holder, key = rng.choice(list(places(changed)))
        before = holder[key]
        holder[key] = rng.choice([None, True, 0, -1, 1, 1 << 40, 1 << 70, "", "x", 1.5, [], {}, "wse2", [[]]])
        if isinstance(before, int) and rng.random() < 0.5:
            holder[key] = before + rng.choice([-1, 1, 4096, -4096])
        text = json.dumps(changed, separators=(",", ":"), sort_keys=True).encode()
        text += b" " * max(0, length - len(text))  # so that segments begin where they did
        sealed = image_format.sealed(text)
        try:
            image = Bytes(sealed + data[start:])
            image.verify()
            assert image.tokenizer is not None or "tokenizer" in str(holder)
            harmless += 1
        except MeshlangError as error:
            assert error.diagnostics[0].code in LIES, error
    assert harmless < MUTATIONS // 8


def places(value):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, (dict, list)):
            yield from places(item)
