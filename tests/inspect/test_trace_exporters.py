"""Every exporter's file, read back by a reader that shares nothing with the writer, against the events.

Perfetto's published schema comes from the package `perfetto`, where it is installed; the decoder below knows the wire
format alone.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from meshlang.cli import main
from meshlang.diag import MeshlangError
from meshlang.fabric.machine import Machine
from meshlang.fabric.recording import GROUPS, KINDS, NO_END, TraceOptions
from meshlang.host.build import build
from meshlang.inspect.names import COMMAND
from meshlang.inspect.trace import ENDINGS, Trace, export, trace_options, wire, writer_for
from meshlang.inspect.trace.flows import wavelets

ROOT = Path(__file__).resolve().parents[2]


def run(path, function="main", args=(), options=None, **build_options):
    m = Machine(build(str(ROOT / path), **build_options), trace=options or TraceOptions(groups=tuple(GROUPS)))
    m.launch(function, args)
    m.run("commands")
    m.run()
    return m


@pytest.fixture(scope="module", params=["wse2", "wse3"])
def hello(request):
    return Trace.of(run("programs/hello/layout.csl", arch=request.param))


@pytest.fixture(scope="module")
def mesh():
    return Trace.of(run("programs/meshgemm/layout.csl", "run", (1,), params={"P": 4, "Mt": 2, "Kt": 2, "Nt": 2}))


def written(trace, ending, tmp_path):
    path = tmp_path / f"trace{ending}"
    export(trace, path)
    return path.read_bytes()


def of_kind(trace, kind):
    return trace.events[trace.events["kind"] == KINDS.index(kind)]


# ---------------------------------------------------------------- the model


def test_slices(mesh):
    tasks = mesh.tasks
    assert len(tasks) == len(of_kind(mesh, "task")) and (tasks.begin >= 0).all() and (tasks.end >= 0).all()
    assert np.array_equal(tasks.stop - tasks.start, mesh.events["extra"][tasks.end])
    for pe in np.unique(tasks.pe):
        mine = tasks.pe == pe
        assert (tasks.start[mine][1:] >= tasks.stop[mine][:-1]).all()  # one main thread


def test_stalls():
    """In MeshGEMV's tree PEs wait for each other."""
    trace = Trace.of(run("programs/meshgemv/layout.csl", "run", (1,), params={"P": 4, "Mt": 4, "Nt": 4}))
    stalls = trace.stalls
    assert len(stalls) == len(of_kind(trace, "go")) > 0
    assert np.array_equal(stalls.stop - stalls.start, trace.events["value"][stalls.end])


def test_slices_that_are_cut_off():
    options = TraceOptions(groups=tuple(GROUPS), cycles=(152, 165))
    trace = Trace.of(run("programs/hello/layout.csl", options=options))
    (first,) = np.flatnonzero(trace.tasks.begin < 0)  # PE 0 has run `main` since cycle 151
    assert (trace.tasks.start[first], trace.tasks.stop[first], trace.tasks.pe[first]) == (151, 161, 0)
    assert trace.tasks.stop[trace.tasks.end < 0].tolist() == [165]


def test_wavelets_keep_their_identity(mesh):
    """All events of one wavelet carry the same payload (no control wavelets here), in the order send, enter, moves,
    take."""
    number = wavelets(mesh)
    seen = defaultdict(list)
    for w, e in zip(number.tolist(), mesh.events.tolist()):
        if w:
            seen[w].append(e)
    assert len(seen) == len(of_kind(mesh, "send"))
    takes = 0
    for events in seen.values():
        kinds = [KINDS[e[2]] for e in events]
        assert kinds[:3] == ["send", "enter", "move"] and len({e[6] for e in events}) == 1
        takes += kinds.count("take")
    assert takes == len(of_kind(mesh, "take"))


def test_wavelets_of_a_part(mesh):
    """Of a rectangle and a range of cycles: what came from elsewhere or before has no past, the rest is the same."""

    def chains(trace):
        out = defaultdict(list)
        for w, e in zip(wavelets(trace).tolist(), trace.events.tolist()):
            out[w].append(e)
        out.pop(0, None)
        return list(out.values())

    every = chains(mesh)
    moves = of_kind(mesh, "move")["cycle"]
    first, end = int(moves[len(moves) // 3]), int(moves[2 * len(moves) // 3])
    part = Trace.of(
        run(
            "programs/meshgemm/layout.csl",
            "run",
            (1,),
            TraceOptions(pes=((1, 3, 0, 2),), cycles=(first, end)),
            params={"P": 4, "Mt": 2, "Kt": 2, "Nt": 2},
        )
    )
    known = {e: i for i, chain in enumerate(every) for e in chain}
    pieces = 0
    for chain in chains(part):
        assert len({known[e] for e in chain}) == 1  # never two wavelets in one
        pieces += len(chain) > 2
    assert pieces > 20


# ---------------------------------------------------------------- columns


def test_npz(mesh, tmp_path):
    data = np.load(io.BytesIO(written(mesh, ".npz", tmp_path)), allow_pickle=False)
    ev = mesh.events
    assert np.array_equal(data["cycle"], ev["cycle"]) and np.array_equal(data["y"] * 4 + data["x"], ev["pe"])
    assert [str(data["kinds"][k]) for k in data["kind"][:50]] == [KINDS[k] for k in ev["kind"][:50]]
    assert np.array_equal(data["value"], ev["value"]) and data["color"].min() == -1
    rows = np.flatnonzero(data["op"] >= 0)
    row = rows[len(rows) // 2]
    assert str(data["ops"][data["op"][row]]) == mesh.op_name(int(ev["pe"][row]), int(ev["pc"][row]))
    assert (str(data["sources"][data["source"][row]]), int(data["line"][row])) == mesh.place(
        int(ev["pe"][row]), int(ev["pc"][row])
    )


def test_csv(hello, tmp_path):
    rows = list(csv.DictReader(io.StringIO(written(hello, ".csv", tmp_path).decode(), newline="")))
    ev = hello.events
    assert len(rows) == len(ev)
    for row, e in zip(rows, ev):
        assert (int(row["cycle"]), int(row["x"]), row["kind"], int(row["value"])) == (
            e["cycle"],
            e["pe"],
            KINDS[e["kind"]],
            e["value"],
        )
        assert row["color"] == ("" if e["color"] == 255 else str(e["color"]))
    (issue,) = [r for r in rows if r["kind"] == "issue" and r["x"] == "1"]
    assert issue["op"] == "fmuls" and issue["file"].endswith("right.csl")
    source = Path(issue["file"]).read_text() if Path(issue["file"]).exists() else (ROOT / issue["file"]).read_text()
    assert "@fmuls" in source.splitlines()[int(issue["line"]) - 1]


@pytest.mark.parametrize("name", ["pe.csl", "a, b.csl", 'the "old" one.csl', '"".csl', ",\n.csl"])
def test_csv_quotes_what_a_reader_would_split(hello, tmp_path, monkeypatch, name):
    """RFC 4180: in quotes, with those inside doubled, where there is a comma, quote or line break, and nowhere else."""
    ev = hello.events
    zeros = np.zeros(len(ev), np.int32)
    monkeypatch.setattr("meshlang.inspect.trace.columns._codes", lambda _: (zeros, [name], zeros, ["op"], zeros))
    text = written(hello, ".csv", tmp_path).decode()
    assert {row["file"] for row in csv.DictReader(io.StringIO(text, newline=""))} == {name}
    assert ('"' in text) == (name != "pe.csl")


# ---------------------------------------------------------------- sim.log


def test_simlog(hello, tmp_path):
    text = written(hello, ".log", tmp_path).decode()
    lines = text.splitlines()
    assert all(re.match(r"@\d+ ", line) for line in lines)
    cycles = [int(line[1 : line.index(" ")]) for line in lines]
    assert cycles == sorted(cycles)
    assert "@0 P1.0 (hwtile) tile trace flag: inst_trace,landing,stalls" in lines
    landings = re.findall(
        r"^@(\d+) P(\d+)\.(\d+) \(hwtile\): landing C0 from link ([NSEWR]), data=0x([0-9a-f]{8}), ctrl=0$", text, re.M
    )
    # four numbers, from the left PE's ramp and then over one link to the right PE
    values = [np.uint32(int(v, 16)).view(np.float32) for _, x, _, link, v in landings if x == "1"]
    assert values == [1, 2, 3, 4] and {link for _, x, _, link, _ in landings if x == "1"} == {"W"}
    assert {link for _, x, _, link, _ in landings if x == "0"} == {"R"} and len(landings) == 8
    sent = of_kind(hello, "move")
    assert [int(c) for c, x, *_ in landings if x == "1"] == [int(c) + hello.hop for c in sent["cycle"][sent["pe"] == 0]]
    assert len(re.findall(r": inst 0x[0-9a-f]{4} T\d+ ", text)) == len(of_kind(hello, "inst"))
    assert len(re.findall(r": stall UT2 input queue 2 empty, C0$", text, re.M)) == 1
    assert re.search(r"CTF Stats: num_inst_dispatch = +(\d+)", text)[1] == str(len(of_kind(hello, "inst")))


# ---------------------------------------------------------------- VCD


def read_vcd(text):
    """{scope.name: [(time, value text)]} of a value change dump, by its grammar."""
    words = text.split()
    names, scope, at = {}, [], 0
    while words[at] != "$enddefinitions":
        stop = words.index("$end", at)
        body = words[at + 1 : stop]
        if words[at] == "$scope":
            scope.append(body[1])
        elif words[at] == "$upscope":
            scope.pop()
        elif words[at] == "$var":
            assert body[2] not in names, "an identifier stands for one signal"
            names[body[2]] = (".".join(scope + [body[3]]), int(body[1]))
        at = stop + 1
    assert not scope
    at = words.index("$end", at) + 1
    out = defaultdict(list)
    now = None
    while at < len(words):
        word = words[at]
        if word[0] == "#":
            assert now is None or int(word[1:]) > now, "times go up"
            now = int(word[1:])
        elif word[0] in "bB":
            name, width = names[words[at + 1]]
            assert word[1:] == "x" or len(word) - 1 <= width
            out[name].append((now, word[1:]))
            at += 1
        elif word[0] in "01xz":
            name, width = names[word[1:]]
            assert width == 1
            out[name].append((now, word[0]))
        else:
            assert word in ("$dumpvars", "$end")
        at += 1
    return out


def test_vcd(hello, tmp_path):
    signals = read_vcd(written(hello, ".vcd", tmp_path).decode())
    for pe in (0, 1):
        tasks = hello.tasks
        mine = tasks.pe == pe
        seen = [(t, int(v, 2)) for t, v in signals[f"fabric.pe_{pe}_0.task"] if v != "x"]
        assert seen == list(zip(tasks.start[mine].tolist(), tasks.events["task"][mine].tolist()))
        busy = 0
        changes = signals[f"fabric.pe_{pe}_0.busy"]
        for (t, v), (u, _) in zip(changes, changes[1:]):
            busy += (u - t) * int(v)
        assert busy == (tasks.stop - tasks.start)[mine].sum()
        moves = of_kind(hello, "move")
        data = [int(v, 2) for _, v in signals[f"fabric.pe_{pe}_0.c0_data"] if v != "x"]
        assert data == moves["value"][moves["pe"] == pe].tolist()
        valid = signals[f"fabric.pe_{pe}_0.c0_valid"]
        high = sum(u - t for (t, v), (u, _) in zip(valid, valid[1:]) if v == "1")
        assert high == (moves["pe"] == pe).sum()
    stalled = [t for t, v in signals["fabric.pe_1_0.stalled"] if v == "1"]
    assert stalled == of_kind(hello, "stall")["cycle"].tolist()


def test_vcd_begins_with_all_signals(hello, tmp_path):
    """One dump of every signal at the first cycle, before any change; the last time is the end of the recording."""
    lines = written(hello, ".vcd", tmp_path).decode().splitlines()
    at = lines.index("$enddefinitions $end") + 1
    signals = sum(line.startswith("$var") for line in lines[:at])
    assert lines[at : at + 2] == [f"#{hello.first}", "$dumpvars"] and lines.count("$dumpvars") == 1
    assert lines[at + 2 + signals] == "$end" and lines[at + 3 + signals].startswith("#")
    assert lines[-1] == f"#{hello.last}"


def test_places_of_instructions(hello):
    """Each instruction of a tile program has its line, the first and the last as well; beside them is nothing."""
    tile = hello.tile(0)
    base = hello.code_base[int(hello.tile_of[0])]
    places = [hello.place(0, base + i) for i in range(len(tile.spans))]
    assert all(places) and "left.csl" in {Path(path).name for path, _ in places}
    assert places[0][1] == tile.spans[0].line_col()[0]
    for f in tile.functions:
        assert hello.task_name(0, COMMAND, base + f.entry) == f.name
    assert hello.task_name(0, COMMAND) == hello.task_name(0, COMMAND, base + len(tile.spans)) == "launched function"
    assert hello.task_name(0, 9) == "task 9" and hello.task_name(0, 64 + 9) == "task 9"
    assert hello.place(0, -1) is hello.place(0, base + len(tile.spans)) is None


def test_vcd_with_pyvcd(mesh, tmp_path):
    reader = pytest.importorskip("vcd.reader")
    tokens = list(reader.tokenize(io.BytesIO(written(mesh, ".vcd", tmp_path))))
    assert sum(t.kind is reader.TokenKind.VAR for t in tokens) > 16 * 5


# ---------------------------------------------------------------- Perfetto


def fields(data):
    """[(number, value)] of a protobuf message: varints as int, fixed64 as int, length-delimited as bytes."""
    out, at = [], 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            value = varint()
        elif key & 7 == 1:
            value, at = int.from_bytes(data[at : at + 8], "little"), at + 8
        else:
            assert key & 7 == 2
            length = varint()
            assert at + length <= len(data)
            value, at = data[at : at + length], at + length
        out.append((key >> 3, value))
    return out


def packets(data):
    for number, packet in fields(data):
        assert number == 1
        parts = dict(fields(packet))
        if 50 in parts:
            yield from packets(zlib.decompress(parts[50]))
        else:
            yield parts


def read_perfetto(data):
    """(track names, events): events are (time, type, track, name, flow) in the order of the file."""
    names, tracks, parents, events = {}, {}, {}, []
    for packet in packets(data):
        assert packet[10] == 1
        if 12 in packet:
            assert packet[13] == 1 and not names
            for number, entry in fields(packet[12]):
                if number == 2:
                    entry = dict(fields(entry))
                    names[entry[1]] = entry[2].decode()
            continue
        assert packet[13] == 2
        if 60 in packet:
            track = dict(fields(packet[60]))
            tracks[track[1]], parents[track[1]] = track[2].decode(), track.get(5)
        else:
            event = dict(fields(packet[11]))
            events.append((packet[8], event[9], event[11], names[event[10]] if 10 in event else None, event.get(47)))
    return tracks, parents, events


def test_perfetto(mesh, tmp_path):
    tracks, parents, events = read_perfetto(written(mesh, ".perfetto-trace", tmp_path))
    assert sum(p is None for p in parents.values()) == 16 and all(p is None or p in tracks for p in parents.values())
    assert [e[0] for e in events] == sorted(e[0] for e in events)
    depth = defaultdict(list)
    slices = []
    for time, kind, track, name, _ in events:
        assert track in tracks
        if kind == 1:
            depth[track].append((time, name))
        elif kind == 2:
            slices.append((track, *depth[track].pop(), time))
    assert not any(depth.values()), "every slice ends"
    # tasks at the depth of a track's outermost slices, with the times of the events
    main = {t for t, name in tracks.items() if name == "main thread"}
    expected = sorted((int(a), int(b)) for a, b in zip(mesh.tasks.start, mesh.tasks.stop) if b > a)
    task_names = {mesh.task_name(int(e["pe"]), int(e["task"]), int(e["pc"])) for e in mesh.tasks.events}
    assert sorted((a, b) for track, a, name, b in slices if track in main and name in task_names) == expected
    # flows: an arrow per wavelet
    flows = defaultdict(list)
    for time, _, track, name, flow in events:
        if flow is not None:
            flows[flow].append((time, name.split()[0], track))
    assert len(flows) == len(of_kind(mesh, "send"))
    for steps in flows.values():
        assert (
            steps[0][1] == "send"
            and {s[1] for s in steps} >= {"send", "take"}
            and [s[0] for s in steps] == sorted(s[0] for s in steps)
        )


def test_perfetto_with_the_published_schema(mesh, tmp_path):
    schema = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    unknown = pytest.importorskip("google.protobuf.unknown_fields")

    def read(data):
        trace = schema.Trace()
        trace.ParseFromString(data)
        for packet in trace.packet:
            assert len(unknown.UnknownFieldSet(packet)) == 0
            if packet.compressed_packets:
                yield from read(zlib.decompress(packet.compressed_packets))
            else:
                yield packet

    found = list(read(written(mesh, ".perfetto-trace", tmp_path)))
    kinds = [p.track_event.type for p in found if p.HasField("track_event")]
    assert kinds.count(schema.TrackEvent.TYPE_SLICE_BEGIN) == kinds.count(schema.TrackEvent.TYPE_SLICE_END) > 0
    sent = {p.track_event.flow_ids[0] for p in found if p.HasField("track_event") and p.track_event.flow_ids}
    assert len(sent) == len(of_kind(mesh, "send"))
    assert {p.track_descriptor.name for p in found if p.HasField("track_descriptor")} >= {"main thread", "router"}
    # a wavelet's value stands where it begins
    interned = next(p.interned_data for p in found if p.HasField("interned_data"))
    names, notes = (
        {n.iid: n.name for n in interned.event_names},
        {n.iid: n.name for n in interned.debug_annotation_names},
    )
    values = [
        (names[e.name_iid].split()[0], a.uint_value)
        for p in found
        if p.HasField("track_event")
        for e in [p.track_event]
        for a in e.debug_annotations
        if notes[a.name_iid] == "payload"
    ]
    assert sorted(v for _, v in values) == sorted(of_kind(mesh, "send")["value"].tolist()) and {
        kind for kind, _ in values
    } == {"send"}


def test_perfetto_of_a_part_shows_values_where_the_sender_is_not_traced(tmp_path):
    """The receiving PE alone: its wavelets begin outside of the trace."""
    schema = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    part = Trace.of(run("programs/hello/layout.csl", options=trace_options(pes="1,0")))
    trace = schema.Trace()
    for packet in schema.Trace.FromString(written(part, ".perfetto-trace", tmp_path)).packet:
        trace.MergeFromString(zlib.decompress(packet.compressed_packets) if packet.compressed_packets else b"")
    shown = [a.uint_value for p in trace.packet if p.HasField("track_event") for a in p.track_event.debug_annotations]
    assert {0x3F800000, 0x40000000, 0x40400000, 0x40800000} <= set(shown)


def test_wire_format():
    """Against the example of the protobuf documentation, and fixed-length varints against plain ones."""
    assert wire.field(1, 150) == bytes([0x08, 0x96, 0x01]) and wire.field(2, "testing") == b"\x12\x07testing"
    values = np.array([0, 1, 127, 128, 300, (1 << 35) - 1])
    rows = wire.rows(6, [wire.tag(3, 0), wire.Varint(values, 5), wire.tag(4, 1), wire.Fixed64(values)])
    assert [fields(row.tobytes()) for row in rows] == [[(3, int(v)), (4, int(v))] for v in values]
    with pytest.raises(ValueError, match="does not fit"):
        wire.rows(1, [wire.Varint(np.array([1 << 14]), 2)])


def test_simlog_names_pes_by_their_place_on_the_wafer(tmp_path):
    """With --fabric-offsets as with the vendor's: the program's rectangle stands there, and the fabric is larger."""
    trace = Trace.of(run("programs/hello/layout.csl", fabric_dims=(11, 4), fabric_offsets=(4, 1)))
    lines = written(trace, ".log", tmp_path).decode().splitlines()
    assert lines[0] == "@0 dimX=11, dimY=4"
    assert [line.split()[1] for line in lines if "tile trace flag" in line] == ["P4.1", "P5.1"]
    assert {m[1] for line in lines if (m := re.match(r"@\d+ (P\d+\.\d+) \(hwtile\): landing", line))} == {
        "P4.1",
        "P5.1",
    }


# ---------------------------------------------------------------- options


def test_options():
    o = trace_options("0:4,2;:,5:", "3,8:10", "100:", "inst_trace,landing")
    assert o.pes == ((0, 4, 2, 3), (0, NO_END, 5, NO_END)) and o.colors == {3, 8, 9} and o.cycles == (100, NO_END)
    assert o.groups == ("wavelet", "inst")
    assert trace_options(events="all").groups == tuple(GROUPS) and "inst" not in trace_options().groups


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"pes": "5"}, "MS1001"),
        ({"pes": "3:1,0"}, "MS1001"),
        ({"pes": "a,b"}, "MS1001"),
        ({"colors": "32"}, "MS1002"),
        ({"colors": "x"}, "MS1002"),
        ({"colors": "30:33"}, "MS1002"),
        ({"cycles": "5"}, "MS1003"),
        ({"cycles": "9:9"}, "MS1003"),
        ({"events": "tasks,foo"}, "MS1004"),
    ],
)
def test_options_that_are_wrong(options, code):
    with pytest.raises(MeshlangError) as error:
        trace_options(**options)
    assert error.value.diagnostics[0].code == code and error.value.exit_code == 2


def test_endings():
    for name in ("x.foo", "x"):
        with pytest.raises(MeshlangError) as error:
            writer_for(name)
        assert error.value.diagnostics[0].code == "MS1005"


def test_the_page_of_docs(tmp_path, monkeypatch):
    """The Python example of docs/traces.md runs; its tables name every event, option and ending there is."""
    text = (ROOT / "docs/traces.md").read_text(encoding="utf-8")
    (example,) = [b for b in re.findall(r"```python\n(.*?)```", text, re.S) if "program.start(trace" in b]
    monkeypatch.chdir(ROOT)
    scope = {}
    exec(example.replace('"hello.html"', repr(str(tmp_path / "hello.html"))), scope)
    assert (tmp_path / "hello.html").stat().st_size > 10_000
    assert {KINDS[k] for k in np.unique(scope["trace"].events["kind"])} == {
        "task",
        "end",
        "send",
        "enter",
        "move",
        "take",
    }
    for name in (*KINDS[1:], *GROUPS):
        assert f"`{name}`" in text, name
    for ending in ENDINGS:
        assert f"`{ending}`" in text, ending


def test_a_run_that_hangs_is_recorded(tmp_path, capsys):
    file = tmp_path / "hang.csv"
    code = main(
        [
            "run",
            str(ROOT / "programs/short_send/layout.csl"),
            "--trace",
            str(file),
            "--trace-events",
            "stall",
        ]
    )
    captured = capsys.readouterr()
    assert code == 3 and "deadlock" in captured.err
    rows = list(csv.DictReader(io.StringIO(file.read_text(), newline="")))
    assert rows and rows[-1]["kind"] == "stall" and f"{len(rows)} events in {file}" in captured.err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--trace", "x.foo"], "MS1005"),
        (["--trace", "no/such/folder/x.csv"], "MS0905"),
        (["--trace-pes", "1,1"], "MS0905"),
        (["--trace", "x.csv", "--trace-limit", "0"], "MS0905"),
        (["--trace", "x.csv", "--trace-pes", "9,9"], "MS1001"),
    ],
)
def test_command_line_mistakes(options, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(ROOT / "programs/hello"), *options]) == 2
    assert f"error[{code}]" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_warnings(tmp_path, capsys):
    assert main(["run", str(ROOT / "programs/hello"), "--trace", str(tmp_path / "a.csv"), "--trace-cycles", "0:1"]) == 0
    assert "warning[MS1007]" in capsys.readouterr().err
    # the limit is looked at when the buffer is handed over, at the latest at the end of a run of the engine
    assert main(["run", str(ROOT / "programs/hello"), "--trace", str(tmp_path / "b.csv"), "--trace-limit", "5"]) == 0
    assert "warning[MS1006]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("colors", "expected"),
    [
        ("31", {31}),
        ("30:", {30, 31}),
        ("30:32", {30, 31}),
        (":2", {0, 1}),
        (":", set(range(32))),
        ("0,5:7", {0, 5, 6}),
        ("32", None),
        ("32:", None),
        ("30:33", None),
        ("5:5", None),
        ("", None),
    ],
)
def test_colors_that_there_are(colors, expected):
    """A range may end behind the last color, and no further."""
    if expected is None:
        with pytest.raises(MeshlangError, match="MS1002"):
            trace_options(colors=colors)
    else:
        assert trace_options(colors=colors).colors == expected
