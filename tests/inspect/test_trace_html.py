"""The HTML page: its numbers against the events, and what a browser makes of it (headless Chromium, where there is
one)."""

import base64
import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meshlang import MeshlangError
from meshlang.cli import main
from meshlang.fabric.machine import Machine
from meshlang.fabric.recording import KINDS, TraceOptions
from meshlang.host.build import build
from meshlang.host.session import Session
from meshlang.inspect.trace import Trace, export, html
from meshlang.inspect.trace.html import page_data

sys.path.insert(0, str(Path(__file__).parent.parent / "fabric"))
from switching import row

ROOT = Path(__file__).resolve().parents[2]
RING = Path(__file__).parent / "programs" / "ring"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
WIDTHS = ((1280, 800), (800, 1100), (390, 1500))


def trace_of(options):
    m = Machine(
        build(str(ROOT / "programs/meshgemm/layout.csl"), params={"P": 4, "Mt": 2, "Kt": 2, "Nt": 2}), trace=options
    )
    m.launch("run", (1,))
    m.run("commands")
    m.run()
    return Trace.of(m)


@pytest.fixture(scope="module")
def trace():
    return trace_of(TraceOptions(pes=((1, 4, 0, 2),)))


@pytest.fixture(scope="module")
def data(trace):
    return page_data(trace)


@pytest.fixture(scope="module")
def hung():
    """A ring of PEs that wait for each other."""
    session = Session(build(str(RING / "layout.csl")), trace=TraceOptions())
    with pytest.raises(MeshlangError, match="MS0860"):
        session.wait(session.launch("main", ()))
    return Trace.of(session.machine, session.failed)


def metric_of(data, key):
    return next(m for m in data["metrics"] if m["key"] == key)


def frames_of(data, key):
    metric = metric_of(data, key)
    _, _, w, h = data["box"]
    return metric["frames"].reshape(-1, h, w) / 255 * metric["top"], metric["total"].reshape(h, w).astype(int)


def test_numbers(trace, data):
    assert data["box"] == (1, 0, 3, 2) and data["size"] == [4, 4]
    lengths = np.diff(data["edges"])[:, None, None]

    def cycles(slices, pe, thread=None):
        mine = (slices.pe == pe) & ((slices.thread == thread) if thread is not None else True)
        return int((np.minimum(slices.stop[mine], data["edges"][-1]) - slices.start[mine]).sum())

    ev = trace.events
    for y in range(2):
        for x in range(1, 4):
            pe = y * 4 + x
            here = {key: frames_of(data, key)[1][y, x - 1] for key in ("compute", "wait", "send", "receive", "router")}
            assert here["wait"] == cycles(trace.stalls, pe)
            assert here["compute"] == cycles(trace.tasks, pe) - cycles(trace.stalls, pe, 0)
            for key, kind in (("send", "send"), ("receive", "take"), ("router", "move")):
                assert here[key] == int(((ev["kind"] == KINDS.index(kind)) & (ev["pe"] == pe)).sum()) > 0
    # what the frames show, rounded to a 255th of the largest, is the same amount
    for key in ("compute", "send", "wait"):
        metric = metric_of(data, key)
        shares, total = frames_of(data, key)
        drawn = (shares / metric["factor"] * lengths).sum(0)
        assert (abs(drawn - total) <= metric["top"] / metric["factor"] / 255 * lengths.sum() + 1).all()
        assert ((metric["frames"].reshape(shares.shape) > 0).any(0) == (total > 0)).all()  # a little is not nothing


def test_links(trace, data):
    moves = trace.events[(trace.events["kind"] == KINDS.index("move")) & (trace.events["pe"] == 5)]
    total = data["links"]["total"].reshape(4, 6)
    assert [int(total[d, 3]) for d in range(4)] == [
        int((moves["extra"].astype(int) >> 8 >> d & 1).sum()) for d in range(4)
    ]
    by_color = sum(c["links"].astype(int) for c in data["colors"])
    assert (by_color == total).all()


def test_no_share_is_above_its_scale(data):
    """One main thread is busy all the time at most; of threads there can be several at once, and the unit says so."""
    assert {m["key"]: m["unit"] for m in data["metrics"]} == {
        "compute": "%",
        "send": "a cycle",
        "receive": "a cycle",
        "wait": "at once",
        "router": "a cycle",
    }
    assert metric_of(data, "compute")["top"] <= 100


def lanes_of(data, cell):
    lanes = data["lanes"]
    at = lanes["cells"].tolist().index(cell)
    rows = slice(int(lanes["counts"][:at].sum()), int(lanes["counts"][: at + 1].sum()))
    start = np.cumsum(lanes["later"][rows].astype(int))
    return start, lanes["length"][rows], [lanes["names"][n] for n in lanes["name"][rows]], lanes["kind"][rows]


def test_lanes(trace, data):
    start, length, names, kind = lanes_of(data, 3)  # PE 1,1
    mine = trace.tasks.pe == 5
    assert start[kind == 0].tolist() == trace.tasks.start[mine].tolist()
    assert (start + length)[kind == 0].tolist() == trace.tasks.stop[mine].tolist()
    tasks = [n for n, k in zip(names, kind) if k == 0]
    assert [t for t, _ in tasks] == [trace.task_name(5, int(e["task"]), int(e["pc"])) for e in trace.tasks.events[mine]]
    assert all(re.fullmatch(r"\w+\.csl:\d+", place) for _, place in tasks)
    assert data["lanes"]["all"] and set(data["lanes"]["cells"].tolist()) <= set(range(6))


def test_wavelets(trace, data):
    moves = trace.events[
        (trace.events["kind"] == KINDS.index("move")) & np.isin(trace.events["pe"], [1, 2, 3, 5, 6, 7])
    ]
    hops = data["wavelets"]
    assert (hops["first"] + np.cumsum(hops["later"].astype(int))).tolist() == moves["cycle"].tolist()
    assert hops["color"].tolist() == moves["color"].tolist() and hops["cut"] is None


def test_routes(data):
    """Row 0 of the ring: PE x receives from the west and sends to the east, on two colors in turn."""
    program = build(str(RING / "layout.csl"))
    machine = Machine(program, trace=TraceOptions())
    machine.run()
    ring = page_data(Trace.of(machine))
    route = {c["color"]: c["route"].reshape(2, 4) for c in ring["colors"] if c["color"] in (3, 4)}
    assert [int(route[3][0, x]) for x in (1, 2)] == [1 << 4 | 1 << 2 + 6, 1 << 3 | 1 << 4 + 6]
    assert not any(c["turns"] for c in ring["colors"])


def test_colors_whose_route_may_turn(tmp_path):
    """Those with a router that has positions which differ; one that only names the same again stays as it is."""
    routes = "@set_color_config({x}, 0, {c}, .{{ .routes = .{{ .rx = .{{{rx}}}, .tx = .{{{tx}}} }}{more} }});"
    layout = "".join(
        routes.format(x=0, c=c, rx="RAMP", tx="EAST", more=more)
        + routes.format(x=1, c=c, rx="WEST", tx="RAMP", more="")
        for c, more in (
            ("c", ""),
            ("d", ", .switches = .{ .pos1 = .{ .tx = RAMP } }"),
            ("e", ", .switches = .{ .pos1 = .{ .tx = EAST } }"),
        )
    )
    fabric = row(
        tmp_path, 2, "const e = @get_color(4);" + layout, "fn main() void { sys.unblock_cmd_stream(); }", "wse2"
    )
    machine = Machine(fabric.session.program, trace=TraceOptions())
    machine.run(max_cycles=20)
    assert {c["color"]: c["turns"] for c in page_data(Trace.of(machine))["colors"]} == {2: False, 3: True, 4: False}


def test_stalls_by_cause(hung):
    data = page_data(hung)
    assert {(s["cause"], s["color"]) for s in data["stalls"]} == {("input queue empty", 3), ("input queue empty", 4)}
    assert sum(s["total"] for s in data["stalls"]) == metric_of(data, "wait")["total"].sum()
    assert all((s["per"] > 0).sum() == 4 for s in data["stalls"])


def test_a_deadlock_has_its_chain(hung, data):
    assert data["ended"] is None
    ended = page_data(hung)["ended"]
    assert ended["title"].startswith("MS0860: deadlock") and "circle" in ended["text"][0]
    chain = ended["waits"][0]["chain"]
    around = [(0, 0), (0, 1), (1, 1), (2, 1), (3, 1), (3, 0), (2, 0), (1, 0)]
    assert chain == [(around[i], around[(i + 1) % 8]) for i in range(8)]
    assert ended["waits"][0]["place"] == "pe.csl:12"


def test_what_takes_room_is_thinned_out(trace, monkeypatch):
    """A large recording: fewer frames, hops of wavelets and lanes, and the page says so."""
    assert sum(html.ROOM.values()) * 4 / 3 < 900_000
    full = page_data(trace)
    size = {
        "frames": {k: full[k] for k in ("edges", "metrics", "links")},
        "wavelets": full["wavelets"],
        "slices": full["lanes"],
    }
    room = {part: len(html.packed(data)) * 9 // 10 for part, data in size.items()}
    monkeypatch.setattr(html, "ROOM", room)
    data = page_data(trace)
    assert len(html.packed({k: data[k] for k in size["frames"]})) <= room["frames"]
    assert 10 < len(data["edges"]) < len(full["edges"])
    assert data["wavelets"]["cut"] is not None and 0 < len(data["wavelets"]["cell"]) < len(full["wavelets"]["cell"])
    assert not data["lanes"]["all"] and 0 < len(data["lanes"]["cells"]) < 6
    # lanes that are there are whole
    cell = int(data["lanes"]["cells"][0])
    start, _, _, kind = lanes_of(data, cell)
    pe = (cell // 3) * 4 + cell % 3 + 1
    assert (kind == 0).sum() == (trace.tasks.pe == pe).sum()


def test_page_stands_alone(trace, data, tmp_path):
    export(trace, tmp_path / "t.html")
    text = (tmp_path / "t.html").read_text(encoding="utf-8")
    code = re.sub(r'<script id="data".*?</script>', "", text, flags=re.S)
    assert not re.search(r"(src|href)\s*=\s*[\"']|https?://|@import|url\(|@[A-Z]+@", code)
    packed = gzip.decompress(base64.b64decode(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)[1]))
    length = int.from_bytes(packed[:8], "little")
    read = json.loads(packed[8 : 8 + length])
    assert read["box"] == [1, 0, 3, 2]
    at, size, kind = read["metrics"][0]["total"]["$"]
    raw = np.frombuffer(packed, kind, size, 8 + length + at)
    assert raw.tolist() == data["metrics"][0]["total"].tolist()


# ---------------------------------------------------------------- in a browser


def run_chromium(folder, *arguments, size=(1280, 800)):
    """What Chromium prints; no message on the console, no request to a network."""
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
        *("--virtual-time-budget=4000", f"--user-data-dir={folder}/profile", f"--window-size={size[0]},{size[1]}"),
    ]
    done = subprocess.run([CHROMIUM, *options, *arguments], capture_output=True, text=True, timeout=120)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return done


def acted(trace, folder, script, hash=""):
    """The page after a script has used it; the script's `result` and the page's text."""
    export(trace, folder / "t.html")
    page = (folder / "t.html").read_text(encoding="utf-8")
    act = """<script>(async () => {
      while (document.body.dataset.ready !== "yes") await new Promise(done => setTimeout(done, 20));
      const $ = id => document.getElementById(id), result = {};
      const key = (key, more) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));
      const on = (element, x, y, ...types) => { element.setPointerCapture = () => {};
        for (const type of types) element.dispatchEvent(new PointerEvent(type, { clientX: x, clientY: y, pointerId: 1 })); };
      const shown = () => Object.fromEntries(location.hash.slice(1).split("&").map(p => p.split("=")));
      const pixels = c => {
        const copy = document.createElement("canvas");
        copy.width = c.width; copy.height = c.height;
        const g = copy.getContext("2d", { willReadFrequently: true });
        g.drawImage(c, 0, 0);
        return g.getImageData(0, 0, c.width, c.height).data;
      };
      const painted = canvas => new Set(new Uint32Array(pixels(canvas).buffer)).size;
      %s
      document.body.setAttribute("data-result", JSON.stringify(result));
    })();</script></body>"""
    (folder / "act.html").write_text(page.replace("</body>", act % script), encoding="utf-8")
    done = run_chromium(folder, "--dump-dom", f"file://{folder}/act.html{hash}")
    found = re.search(r'data-result="([^"]*)"', done.stdout)
    assert found, done.stdout[-2000:] + done.stderr
    side = re.search(r'<aside id="side">(.*?)</aside>', done.stdout, re.S)[1]
    return json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&")), re.sub(r"<[^>]+>", " ", side)


@browser
def test_mouse(trace, tmp_path):
    """The whole run first; a click on a PE, on the strip, and in the lanes; the wheel; everything in the address."""
    result, side = acted(
        trace,
        tmp_path,
        """
      result.first = [$("cycle").textContent, $("scale").textContent];
      result.painted = [painted($("map")), painted($("over"))];
      const m = $("map").getBoundingClientRect();
      result.before = painted($("map"));
      on($("map"), m.left + m.width / 2, m.top + m.height / 2 - 30, "pointerdown", "pointerup");
      result.pe = shown().pe;
      const s = $("over").getBoundingClientRect();
      on($("over"), s.left + s.width / 2, s.top + 30, "pointerdown", "pointerup");
      result.at = shown().at;
      on($("over"), s.left + s.width / 4, s.top + 30, "pointerdown"); on($("over"), s.left + s.width / 2, s.top + 30, "pointermove", "pointerup");
      result.range = shown().cycles;
      const l = $("lanes").getBoundingClientRect();
      $("lanes").dispatchEvent(new WheelEvent("wheel", { clientX: l.left + l.width / 2, clientY: l.top + 10, deltaY: -300 }));
      result.lanes = shown().lanes;
      on($("lanes"), l.left + l.width / 2, l.top + 12, "pointermove");
      result.tip = $("tip").textContent;
      document.querySelectorAll("#side tr.pick")[0].click();
      result.hash = shown();
    """,
    )
    edges = page_data(trace)["edges"].tolist()
    first, last = edges[0], edges[-1]
    assert result["first"][0] == f"whole run, cycles {first:,} to {last:,}"
    assert result["first"][1].startswith("0 to 100 %: main thread at work")
    assert min(result["painted"]) > 3
    assert result["pe"] == "2,0" and first < int(result["at"]) < last
    a, b = map(int, result["range"].split(":"))
    assert abs(a - (first * 3 + last) / 4) < 3 and abs(b - (first + last) / 2) < 3
    c, d = map(int, result["lanes"].split(":"))
    assert d - c < b - a
    assert re.search(r"\w+\.csl:\d+\ncycles \d+ to \d+", result["tip"])
    assert "PE 2,0" in side and "main thread" not in side and "Colors" in side and "UT" in side


@browser
def test_keys_and_search(trace, tmp_path):
    result, side = acted(
        trace,
        tmp_path,
        """
      key("4"); result.metric = shown().metric;
      key("c"); result.color = shown().color;
      key("ArrowRight"); key("ArrowRight", { altKey: true }); result.at = shown().at;
      key("ArrowRight", { shiftKey: true }); key("ArrowDown", { shiftKey: true }); result.pe = shown().pe;
      key("?"); result.help = $("keys").open; $("keys").close();
      key("Escape"); result.none = shown();
      const find = text => { $("text").value = text; $("find").requestSubmit(); return shown(); };
      result.place = find("3,1").pe; result.byColor = find("color 2").color;
      result.task = find("column_done"); result.nothing = find("no such thing"); result.said = $("text").validationMessage;
      $("theme").click(); result.theme = [shown().theme, document.documentElement.dataset.theme];
      key("Home"); result.whole = $("cycle").textContent;
    """,
    )
    data = page_data(trace)
    assert result["metric"] == "wait" and int(result["color"]) in [c["color"] for c in data["colors"]]
    assert int(result["at"]) > int(data["edges"][0]) and result["pe"] == "1,1" and result["help"]
    assert set(result["none"]) == {"metric", "at"}
    assert result["place"] == "3,1" and result["byColor"] == "2"
    assert result["task"]["find"] == "column_done" and result["task"]["pe"]
    assert result["said"] == "nothing here has this name"
    assert result["theme"] == ["dark", "dark"] and result["whole"].startswith("whole run")


@browser
def test_the_address_says_what_is_shown(trace, tmp_path):
    first = int(page_data(trace)["edges"][0])
    result, side = acted(
        trace,
        tmp_path,
        'result.hash = location.hash; result.theme = document.documentElement.dataset.theme; result.speed = $("speed").value;',
        hash=f"#metric=send&cycles={first + 10}:{first + 90}&at={first + 20}&pe=2,1&color=1&theme=dark",
    )
    assert side.split()[:2] == ["PE", "2,1"] and result["theme"] == "dark"


@browser
def test_playing_moves_wavelets(trace, tmp_path):
    """With frames of the page's own time: how many a browser without a screen draws is its own."""
    result, _ = acted(
        trace,
        tmp_path,
        """
      window.requestAnimationFrame = draw => setTimeout(() => draw(performance.now()), 50);
      window.cancelAnimationFrame = clearTimeout;
      const before = pixels($("map")).join();
      $("speed").value = "20"; key(" ");
      await new Promise(done => setTimeout(done, 1500));
      result.playing = $("play").textContent; result.cycle = $("cycle").textContent;
      result.moved = before !== pixels($("map")).join();
      key(" "); result.paused = $("play").textContent; result.at = +shown().at;
    """,
    )
    first = int(page_data(trace)["edges"][0])
    assert result["playing"] == "Pause" and result["paused"] == "Play" and result["cycle"].startswith("cycle ")
    assert result["moved"] and first < result["at"]  # how far it has come is the browser's


@browser
def test_a_deadlock_is_drawn(hung, tmp_path):
    result, side = acted(
        hung,
        tmp_path,
        """
      const red = () => {
        const d = pixels($("map")); let n = 0;
        for (let i = 0; i < d.length; i += 4) if (d[i] === 201 && d[i + 1] === 42 && d[i + 2] === 42) n++;
        return n;
      };
      result.red = red();
      document.querySelectorAll(".ended li")[1].click(); result.second = [red(), shown().wait];
    """,
    )
    assert "MS0860: deadlock" in side and "color 3 comes from PE 0,1" in side
    assert result["red"] > 500 and 0 < result["second"][0] < result["red"] and result["second"][1] == "1"


@browser
@pytest.mark.parametrize("size", WIDTHS, ids=str)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_screenshots(trace, tmp_path, size, theme):
    """At three widths: the picture is there, nothing is on the console, and nothing is wider than the window."""
    export(trace, tmp_path / "t.html")
    picture = tmp_path / "t.png"
    run_chromium(tmp_path, f"--screenshot={picture}", f"file://{tmp_path}/t.html#pe=2,1&theme={theme}", size=size)
    head = picture.read_bytes()
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")) == size and len(head) > 20_000
    if theme == "dark":
        return  # as wide as in light
    page = (tmp_path / "t.html").read_text(encoding="utf-8")
    wide = """<script>setTimeout(() => {
      document.body.setAttribute("data-wide", document.documentElement.scrollWidth - innerWidth);
    }, 1500)</script></body>"""
    (tmp_path / "w.html").write_text(page.replace("</body>", wide), encoding="utf-8")
    done = run_chromium(tmp_path, "--dump-dom", f"file://{tmp_path}/w.html#pe=2,1", size=size)
    assert int(re.search(r'data-wide="(-?\d+)"', done.stdout)[1]) <= 0


# ---------------------------------------------------------------- the command


def test_html_option(tmp_path, capsys):
    """--html of `run`, also for what deadlocks, beside --trace; of `report`."""
    page, log = tmp_path / "r.html", tmp_path / "r.log"
    assert main(["run", str(RING), "--html", str(page), "--trace", str(log)]) == 3
    assert page.stat().st_size > 30_000 and log.stat().st_size > 100
    assert f"{log} and {page}" in capsys.readouterr().err
    assert main(["run", str(RING), "--html", str(tmp_path / "r.txt")]) == 2
    assert "expected a file that ends in .html" in capsys.readouterr().err
    assert main(["run", str(RING), "--html", str(tmp_path / "none" / "r.html")]) == 2


def test_html_option_of_report(tmp_path, capsys):
    """The report is the same with the page and without."""
    said = []
    for more in ([], ["--html", str(tmp_path / "p.html")]):
        assert main(["report", str(ROOT / "programs/meshgemm"), "-p", "P=4", "--json", *more]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1] and (tmp_path / "p.html").stat().st_size > 30_000
    assert main(["report", str(ROOT / "programs/meshgemm"), "--grow", "P=4,8", "--html", str(tmp_path / "g.html")]) == 2
