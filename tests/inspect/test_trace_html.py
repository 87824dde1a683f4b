"""The HTML page: its numbers against the events, and what a browser makes of it (headless Chromium, where there is
one)."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from meshlang.fabric.machine import Machine
from meshlang.fabric.recording import KINDS, TraceOptions
from meshlang.host.build import build
from meshlang.inspect.trace import Trace, export
from meshlang.inspect.trace.html import page_data

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


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


def frames_of(data, key):
    metric = next(m for m in data["metrics"] if m["key"] == key)
    x, y, w, h = data["box"]
    shares = np.frombuffer(base64.b64decode(metric["frames"]), np.uint8).reshape(-1, h, w) / 255 * metric["top"]
    return shares, np.array(metric["total"]).reshape(h, w)


def test_numbers(trace, data):
    assert data["box"] == (1, 0, 3, 2) and data["size"] == [4, 4]
    lengths = np.diff(data["edges"])[:, None, None]
    for key, slices in (("busy", trace.tasks), ("operations", trace.operations), ("stalled", trace.stalls)):
        shares, total = frames_of(data, key)
        for y in range(2):
            for x in range(1, 4):
                mine = slices.pe == y * 4 + x
                cycles = int((np.minimum(slices.stop[mine], data["edges"][-1]) - slices.start[mine]).sum())
                assert total[y, x - 1] == cycles, (key, x, y)
        # what the frames show, rounded up to a 255th of the largest share, is the same amount
        metric = next(m for m in data["metrics"] if m["key"] == key)
        drawn = (shares / metric["factor"] * lengths).sum(0)
        largest = metric["top"] / metric["factor"]
        assert (drawn >= total - 1e-6).all() and (drawn <= total + largest / 255 * lengths.sum()).all()
    moves = trace.events[(trace.events["kind"] == KINDS.index("move")) & (trace.events["pe"] == 2)]
    assert frames_of(data, "wavelets")[1][0, 1] == len(moves)


def test_no_share_is_above_its_scale(data):
    """One main thread is busy all the time at most; of threads there can be several at once, and the unit says so."""
    units = {m["key"]: m["unit"] for m in data["metrics"]}
    assert units == {"busy": "%", "operations": "at once", "stalled": "at once", "wavelets": "a cycle"}
    assert next(m["top"] for m in data["metrics"] if m["key"] == "busy") <= 100
    assert all(unit in m["title"] or m["unit"] != "%" for m in data["metrics"] for unit in "%")


def test_details(trace, data):
    rows = np.array(data["slices"][5]).reshape(-1, 5)
    tasks = rows[rows[:, 4] == 0]
    mine = trace.tasks.pe == 5
    assert tasks[:, 0].tolist() == trace.tasks.start[mine].tolist()
    assert [data["names"][n] for n in tasks[:, 2]] == [
        trace.task_name(5, int(e["task"]), int(e["pc"])) for e in trace.tasks.events[mine]
    ]
    assert data["cut"] is None and set(data["slices"]) <= {1, 2, 3, 5, 6, 7}


def test_page_stands_alone(trace, tmp_path):
    export(trace, tmp_path / "t.html")
    text = (tmp_path / "t.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)\s*=|https?://|@import|url\(", text)
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    assert json.loads(found[1])["box"] == [1, 0, 3, 2]


def run_chromium(*arguments):
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--window-size=1200,800"]
    return subprocess.run([CHROMIUM, *options, *arguments], capture_output=True, text=True, timeout=120)


@browser
def test_click_in_a_browser(trace, tmp_path):
    """A click on a PE shows its details; moving the slider changes the frame; no script error."""
    export(trace, tmp_path / "t.html")
    page = (tmp_path / "t.html").read_text(encoding="utf-8")
    act = """<script>
      const errors = []; window.onerror = m => errors.push(m);
      const first = { frame, text: document.getElementById("cycle").textContent, unit: document.getElementById("top").textContent };
      const drawn = document.getElementById("over").getContext("2d").getImageData(0, 0, 400, 60).data.some(v => v > 0);
      const r = map.getBoundingClientRect(), cx = r.left + view.x + 1.5 * view.size, cy = r.top + view.y + 0.5 * view.size;
      map.setPointerCapture = () => {};
      map.dispatchEvent(new PointerEvent("pointerdown", { clientX: cx, clientY: cy, pointerId: 1 }));
      map.dispatchEvent(new PointerEvent("pointerup", { clientX: cx, clientY: cy, pointerId: 1 }));
      const time = document.getElementById("time"); time.value = 7; time.dispatchEvent(new Event("input"));
      const size = view.size;
      map.dispatchEvent(new WheelEvent("wheel", { clientX: cx, clientY: cy, deltaY: -300 }));
      document.body.setAttribute("data-result", JSON.stringify({ errors, first, drawn, chosen, frame, hash: location.hash, grown: view.size > size,
        pixel: [...ctx.getImageData(Math.round(cx - r.left), Math.round(cy - r.top), 1, 1).data] }));
    </script></body>"""
    (tmp_path / "act.html").write_text(page.replace("</body>", act), encoding="utf-8")
    done = run_chromium("--dump-dom", f"file://{tmp_path}/act.html")
    result = json.loads(re.search(r'data-result="([^"]*)"', done.stdout)[1].replace("&quot;", '"'))
    assert result["errors"] == [] and result["chosen"] == [2, 0] and result["frame"] == 7 and result["grown"]
    assert result["pixel"][3] == 255  # the PE is painted
    # the whole run comes first, with a unit, and the run over time below it; what is chosen is in the address
    assert result["first"]["frame"] == -1 and result["first"]["text"].startswith("whole run, cycles")
    assert result["first"]["unit"].endswith(" %") and result["drawn"]
    assert result["hash"].replace("&amp;", "&") == "#metric=busy&frame=7&pe=2,0"
    side = re.search(r'<div id="side">(.*?)</main>', done.stdout, re.S)[1]
    assert "<h2>PE 2, 0</h2>" in side and "main thread busy" in side
    edges = page_data(trace)["edges"]
    assert f"cycles {edges[7]} to {edges[8] - 1}" in side


@browser
def test_screenshot(trace, tmp_path):
    export(trace, tmp_path / "t.html")
    picture = tmp_path / "t.png"
    run_chromium(f"--screenshot={picture}", f"file://{tmp_path}/t.html#frame=20&pe=2,1&metric=busy")
    head = picture.read_bytes()
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")) == (1200, 800) and len(
        head
    ) > 20_000
