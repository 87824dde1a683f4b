"""Random programs for what few programs use, each with a model in Python: @map, @dfilt, SIMD, circular buffers, FIFOs, and
switches while wavelets queue up behind them.

    python -m tests.fuzz.devices --count 500 --seed 1
    python -m tests.fuzz.devices --kinds switches --only 7        # that one, with its program

A program runs on a row of PEs, unoptimised and a cycle at a time, and then optimised with express delivery; what every PE has
in `out` afterwards must be what the model says, both times.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fabric"))
import switching

import meshlang
from meshlang.diag import MeshlangError

OUT = 64  # elements of `out`
ROW = "  @set_color_config({x}, 0, c, .{{ .routes = .{{ .rx = .{{ {rx} }}, .tx = .{{ {tx} }} }}{more} }});\n"
# c from PE 0 to PE 1, and there d on to PE 2
PAIR = ROW.format(x=0, rx="RAMP", tx="EAST", more="") + ROW.format(x=1, rx="WEST", tx="RAMP", more="")
RELAY = PAIR + (
    ROW.format(x=1, rx="RAMP", tx="EAST", more="") + ROW.format(x=2, rx="WEST", tx="RAMP", more="")
).replace(", c,", ", d,")
SECOND = """comptime { @initialize_queue(iq2, .{ .color = d }); if (@is_arch("wse3")) { @initialize_queue(oq2, .{ .color = d }); } }
"""


@dataclass
class Case:
    """A program, and what `out` holds in the end: by PE, from element 0 on."""

    width: int
    layout: str
    pe: str
    expected: list[list[int]]


def wait(pick: random.Random, most: int = 40) -> str:
    """A statement that takes a while."""
    turns = pick.choice((0, 0, pick.randrange(most)))
    return f"for (@range(u16, {turns})) |_| {{ idle += 1; }}" if turns else ""


def vector(name: str, n: int, stride: int, offset: int) -> str:
    return f"@get_dsd(mem1d_dsd, .{{ .tensor_access = |i|{{{n}}} -> {name}[{stride} * i + {offset}] }})"


def wrapped(value: int, t: str) -> int:
    bits = int(t[1:])
    value &= (1 << bits) - 1
    return value - (1 << bits) if t[0] == "i" and value >> bits - 1 else value


def shown(name: str, n: int, t: str) -> str:
    """Statements that put an array into `out`."""
    value = f"@as(u32, @bitcast(u{t[1:]}, {name}[i]))"
    return f"for (@range(u16, {n})) |i| {{ out[i] = {value}; }}"


def literals(values: list[int]) -> str:
    return ", ".join(map(str, values))


# ---------------------------------------------------------------- @map

# what a callback computes, in CSL and in Python; `s` is a variable that it may change
BODIES: list[tuple[str, Callable[[int, int, int], int]]] = [
    ("x + y", lambda x, y, s: x + y),
    ("x - y", lambda x, y, s: x - y),
    ("x * y", lambda x, y, s: x * y),
    ("(x ^ y) + s", lambda x, y, s: (x ^ y) + s),
    ("x & (y | s)", lambda x, y, s: x & (y | s)),
    ("if (x < y) x else y", lambda x, y, s: min(x, y)),
]


def maps(pick: random.Random) -> Case:
    """Operands of any stride, places and lengths, a number in place of one, results over an operand, a callback that has a
    memory."""
    t = pick.choice(("i16", "u16", "i32", "u32"))
    low, high = (-(1 << int(t[1:]) - 1), (1 << int(t[1:]) - 1) - 1) if t[0] == "i" else (0, (1 << int(t[1:])) - 1)
    size = pick.randrange(8, 25)
    arrays = {name: [pick.choice((0, 1, low, high, pick.randint(low, high))) for _ in range(size)] for name in "abr"}
    # the lowest number of a type is no literal of it
    arrays = {name: [max(v, low + 1) if low else v for v in values] for name, values in arrays.items()}
    text = "".join(f"var {n} = [{size}]{t}{{ {literals(v)} }};\n" for n, v in arrays.items())
    memory = pick.choice((1, 5, 100))
    text += f"var s: {t} = {memory};\nvar idle: u32 = 0;\n"
    calls = []
    for k in range(pick.randrange(1, 4)):
        body, model = pick.choice(BODIES)
        remembers = pick.random() < 0.4
        text += f"fn f{k}(x: {t}, y: {t}) {t} {{ {'s = s * 3 + x;' if remembers else ''} return {body}; }}\n"
        walks = []
        for role in range(3):
            n = pick.randrange(1, size)
            stride = pick.choice((1, 1, 1, 2, -1))
            n = min(n, (size - 1) // abs(stride) + 1)
            reach = abs(stride) * (n - 1)
            offset = pick.randrange(0, size - reach) + (reach if stride < 0 else 0)
            walks.append((pick.choice("abr" if role < 2 else "r"), n, stride, offset))
        number = pick.randint(max(low, -100), 100) if pick.random() < 0.25 else None
        operands = [vector(*w) for w in walks]
        if number is not None:
            operands[1] = str(number)
        steps = min(w[1] for i, w in enumerate(walks) if i != 1 or number is None)
        calls.append(f"@map(f{k}, {', '.join(operands)});")
        for i in range(steps):
            x, y = (
                arrays[name][stride * i + offset] if role == 0 or number is None else number
                for role, (name, _, stride, offset) in enumerate(walks[:2])
            )
            if remembers:
                memory = wrapped(memory * 3 + x, t)
            name, _, stride, offset = walks[2]
            arrays[name][stride * i + offset] = wrapped(model(x, y, memory), t)
    text += f"fn main() void {{ {' '.join(calls)} {shown('r', size, t)} sys.unblock_cmd_stream(); }}\n"
    return Case(2, PAIR, text, [[wrapped(v, f"u{t[1:]}") for v in arrays["r"]]])


# ---------------------------------------------------------------- @dfilt


def filters(pick: random.Random) -> Case:
    """Data and control wavelets; the receiver drops all up to some control wavelets, receives, drops ..."""
    sent, steps, out = [], [], []
    value = 1
    for _ in range(pick.randrange(1, 5)):
        controls = pick.randrange(1, 4)
        for _ in range(controls):
            for _ in range(pick.randrange(0, 5)):
                sent.append(f"send({value});")
                value += 1
            sent.append("command(31 << 16);")
        steps.append(f"@dfilt(@get_dsd(fabin_dsd, .{{ .extent = {controls}, .fabric_color = c, .input_queue = iq }})")
        take = pick.randrange(1, 6)
        got = list(range(value, value + take))
        sent += [f"send({v});" for v in got]
        value += take
        to = f"@get_dsd(mem1d_dsd, .{{ .tensor_access = |i|{{{take}}} -> out[i + {len(out)}] }})"
        steps.append(f"@mov32({to}, @get_dsd(fabin_dsd, .{{ .extent = {take}, .fabric_color = c, .input_queue = iq }})")
        out += got
    tasks = "".join(
        f"task t{k}() void {{ {wait(pick)} {step}, .{{ .async = true, .activate = id{k + 1} }}); }}\n"
        for k, step in enumerate(steps)
    )
    ids = "".join(f"const id{k} = @get_local_task_id({8 + k});\n" for k in range(len(steps) + 1))
    binds = " ".join(f"@bind_local_task(t{k}, id{k});" for k in range(len(steps) + 1))
    sends = "\n    ".join(line for s in sent for line in (s, wait(pick) if pick.random() < 0.2 else "") if line)
    text = f"""var idle: u32 = 0;
{ids}{tasks}task t{len(steps)}() void {{ sys.unblock_cmd_stream(); }}
fn main() void {{
  if (x == 0) {{
    {sends}
    sys.unblock_cmd_stream();
  }} else {{ @activate(id0); }}
}}
comptime {{ {binds} }}
"""
    return Case(2, PAIR, text, [[], out])


# ---------------------------------------------------------------- SIMD

MODES = ("", ".simd_mode = .{ .simd_32 = true }", ".simd_mode = .{ .simd_64 = true }")


def simd(pick: random.Random) -> Case:
    """16-bit elements, packed or not, through a PE in the middle that adds a number, to receivers that unpack or do not."""
    pieces, sends, adds, takes, received = [], [], [], [], []
    at = 0
    for _ in range(pick.randrange(1, 4)):
        n = pick.randrange(1, 15)
        if len(received) + 4 * n > OUT:
            break
        values = [pick.randrange(1 << 16) for _ in range(n)]
        packed = pick.randrange(3)
        wavelets = [values[i] | (values[i + 1] << 16 if i + 1 < n else 0) for i in range(0, n, 2)] if packed else values
        sends.append((n, at, MODES[packed]))
        pieces += values
        at += n
        add = pick.randrange(1 << 16)
        into, out_of = pick.choice(((0, 0), (1, 1), (2, 1), (1, 0), (0, 2)))
        elements = [h for w in wavelets for h in (w & 0xFFFF, w >> 16)] if into else [w & 0xFFFF for w in wavelets]
        if into and pick.random() < 0.5:
            elements.pop()
        elements = [(v + add) & 0xFFFF for v in elements]
        adds.append((len(elements), into, out_of, add))
        m = len(elements)
        wavelets = (
            [elements[i] | (elements[i + 1] << 16 if i + 1 < m else 0) for i in range(0, m, 2)] if out_of else elements
        )
        last = pick.randrange(3)
        elements = [h for w in wavelets for h in (w & 0xFFFF, w >> 16)] if last else [w & 0xFFFF for w in wavelets]
        if last and pick.random() < 0.5:
            elements.pop()
        takes.append((len(elements), len(received), MODES[last]))
        received += elements

    def fabric(kind: str, n: int, mode: str, color: str, queue: str) -> str:
        field = "input_queue" if kind == "fabin" else "output_queue"
        return f"@get_dsd({kind}_dsd, .{{ .extent = {n}, .fabric_color = {color}, .{field} = {queue}, {mode} }})"

    first = " ".join(
        f"@mov16({fabric('fabout', n, mode, 'c', 'oq')}, {vector('data', n, 1, at)}); {wait(pick)}"
        for n, at, mode in sends
    )
    middle = " ".join(
        f"@add16({fabric('fabout', n, MODES[out_of], 'd', 'oq2')}, {fabric('fabin', n, MODES[into], 'c', 'iq')}, {add}); {wait(pick)}"
        for n, into, out_of, add in adds
    )
    end = " ".join(
        f"@mov16({vector('got', n, 1, at)}, {fabric('fabin', n, mode, 'd', 'iq2')}); {wait(pick)}"
        for n, at, mode in takes
    )
    text = f"""var idle: u32 = 0;
var data = [{len(pieces)}]u16{{ {literals(pieces)} }};
var got = @zeros([{OUT + 1}]u16);
fn main() void {{
  if (x == 0) {{ {first} }} else if (x == 1) {{ {middle} }} else {{ {end} {shown("got", OUT, "u16")} }}
  sys.unblock_cmd_stream();
}}
{SECOND}"""
    return Case(3, RELAY, text, [[], [], received])


# ---------------------------------------------------------------- circular buffers


def rings(pick: random.Random) -> Case:
    """Two rings and a line; operations between them, loaded anew or going on where the last one stopped."""
    sizes = {"p": pick.randrange(2, 9), "q": pick.randrange(2, 9), "line": 30}
    arrays = {name: [pick.randrange(1 << 32) for _ in range(n)] for name, n in sizes.items()}
    text = "var idle: u32 = 0;\n"
    text += "".join(f"var {name} = [{sizes[name]}]u32{{ {literals(values)} }};\n" for name, values in arrays.items())
    text += "const to = @get_dsr(dsr_dest, 4);\nconst from = @get_dsr(dsr_src1, 5);\n"
    statements = []
    # what each DSR is: ring, how much of it, elements of an operation, whether it goes on, where it is
    loaded: dict[str, list] = {}
    for _ in range(pick.randrange(2, 9)):
        for dsr, ring in (("to", "p"), ("from", "q")):
            if dsr not in loaded or pick.random() < 0.4:
                around = pick.randrange(1, sizes[ring] + 1)
                extent, keeps = pick.randrange(1, 14), pick.random() < 0.6
                whole = f", .wraparound = {around}" if around != sizes[ring] or pick.random() < 0.5 else ""
                statements.append(
                    f"@load_to_dsr_xdsr({dsr}, @get_xdsr({int(dsr == 'to')}), @get_dsd(circbuf_dsd, .{{ .base_address = &{ring}, "
                    f".extent = {extent}{whole} }}), .{{ .save_address = {'true' if keeps else 'false'} }});"
                )
                loaded[dsr] = [ring, around, extent, keeps, 0]
        kind = pick.choice(("ring to ring", "ring to line", "line to ring"))
        _, around, n, _, _ = loaded["from"]
        start = pick.randrange(0, 16)
        if kind == "line to ring":
            n = pick.randrange(1, 14)
            statements.append(f"_ = @mov32(to, {vector('line', n, 1, start)});")
        elif kind == "ring to line":
            statements.append(f"_ = @mov32({vector('line', n, 1, start)}, from);")
        else:
            statements.append("_ = @mov32(to, from);")
        places = {"to": loaded["to"][4], "from": loaded["from"][4]}
        for i in range(n):
            source, sink = loaded["from"], loaded["to"]
            value = (
                arrays["line"][start + i] if kind == "line to ring" else arrays["q"][(places["from"] + i) % source[1]]
            )
            if kind == "ring to line":
                arrays["line"][start + i] = value
            else:
                arrays["p"][(places["to"] + i) % sink[1]] = value
        for dsr, used in (("to", kind != "ring to line"), ("from", kind != "line to ring")):
            if used and loaded[dsr][3]:
                loaded[dsr][4] = (loaded[dsr][4] + n) % loaded[dsr][1]
        if pick.random() < 0.3:
            statements.append(wait(pick))
    shows, at, expected = [], 0, []
    for name, n in sizes.items():
        shows.append(f"for (@range(u16, {n})) |i| {{ out[i + {at}] = {name}[i]; }}")
        expected += arrays[name]
        at += n
    text += f"fn main() void {{ {' '.join(statements)} {' '.join(shows)} sys.unblock_cmd_stream(); }}\n"
    return Case(2, PAIR, text, [expected])


# ---------------------------------------------------------------- FIFOs


def fifos(pick: random.Random) -> Case:
    """Pushes and pops of numbers and vectors, which stop at a full or an empty FIFO."""
    t = pick.choice(("u16", "u32"))
    move = f"@mov{t[1:]}"
    capacity = pick.randrange(1, 7)
    held: deque[int] = deque()
    source = [pick.randrange(1 << int(t[1:])) for _ in range(12)]
    line, single = [0] * 12, 0
    statements: list[str] = []
    results: list[int] = []

    def result(text: str, value: int) -> None:
        statements.append(f"out[{len(results)}] = @as(u32, {text});")
        results.append(value)

    for _ in range(pick.randrange(1, 16)):
        many = pick.choice((0, 0, pick.randrange(1, 9)))
        n = max(many, 1)
        start = pick.randrange(0, 12 - n + 1)
        if pick.random() < 0.55:
            moved = min(n, capacity - len(held))
            held.extend(source[start : start + moved])
            result(f"{move}(fifo, {vector('source', many, 1, start) if many else f'source[{start}]'})", int(moved == n))
            continue
        got = [held.popleft() for _ in range(min(n, len(held)))]
        result(f"{move}({vector('line', many, 1, start) if many else '&single'}, fifo)", int(len(got) == n))
        if many:
            line[start : start + len(got)] = got
        else:
            single = got[0] if got else single
            result("single", single)
    text = f"""var idle: u32 = 0;
var buffer: [{capacity}]{t};
const fifo = @allocate_fifo(buffer);
var source = [12]{t}{{ {literals(source)} }};
var line = @zeros([12]{t});
var single: {t} = 0;
fn main() void {{
  {" ".join(statements)}
  for (@range(u16, 12)) |i| {{ out[i + {len(results)}] = @as(u32, line[i]); }}
  sys.unblock_cmd_stream();
}}
"""
    return Case(2, PAIR, text, [results + line])


def pumps(pick: random.Random) -> Case:
    """The fabric through a FIFO: both threads asleep whenever there is nothing to do, and work on the main thread."""
    n = pick.randrange(1, 40)
    values = [pick.randrange(1 << 32) for _ in range(n)]
    parts = []
    at = 0
    while at < n:
        part = pick.randrange(1, n - at + 1)
        parts.append((part, at))
        at += part
    extent = pick.choice((n, 0x7FFF))
    sends = " ".join(
        f"@mov32(@get_dsd(fabout_dsd, .{{ .extent = {k}, .fabric_color = c, .output_queue = oq }}), {vector('data', k, 1, at)}); {wait(pick)}"
        for k, at in parts
    )
    takes = " ".join(
        f"@mov32({vector('out', k, 1, at)}, @get_dsd(fabin_dsd, .{{ .extent = {k}, .fabric_color = d, .input_queue = iq2 }})); {wait(pick)}"
        for k, at in parts
    )
    text = f"""var idle: u32 = 0;
var data = [{n}]u32{{ {literals(values)} }};
var buffer: [{pick.randrange(1, 9)}]u32;
const fifo = @allocate_fifo(buffer);
fn main() void {{
  if (x == 0) {{ {sends} }} else if (x == 1) {{
    @mov32(fifo, @get_dsd(fabin_dsd, .{{ .extent = {extent}, .fabric_color = c, .input_queue = iq }}), .{{ .async = true }});
    {wait(pick, 200)}
    @mov32(@get_dsd(fabout_dsd, .{{ .extent = {extent}, .fabric_color = d, .output_queue = oq2 }}), fifo, .{{ .async = true }});
    {wait(pick, 200)}
  }} else {{ {takes} }}
  sys.unblock_cmd_stream();
}}
{SECOND}"""
    return Case(3, RELAY, text, [[], [], values])


# ---------------------------------------------------------------- switches

NOP, ADVANCE, RESET, COMMANDS = 0, 1, 2, 8
POP = ("no_pop", "always_pop", "pop_on_advance", "pop_on_advance_nop")


class Router:
    """A router on the way: where each position of its switch sends what comes from the west."""

    def __init__(self, pick: random.Random, last: bool):
        both = [{"RAMP"}, {"EAST"}, {"RAMP", "EAST"}]
        self.positions = [{"RAMP"} if last else pick.choice(both)]
        # behind the first, a position has one side
        self.positions += [{"RAMP"} if last else {pick.choice(("RAMP", "EAST"))} for _ in range(pick.randrange(0, 4))]
        self.ring, self.pop = pick.random() < 0.5, pick.choice(POP)
        self.position = 0

    def text(self, x: int) -> str:
        more = ""
        if len(self.positions) > 1:
            places = "".join(f".pos{i} = .{{ .tx = {next(iter(p))} }}, " for i, p in enumerate(self.positions) if i)
            more = f", .switches = .{{ {places}.ring_mode = {str(self.ring).lower()}, .pop_mode = .{{ .{self.pop} = true }} }}"
        return ROW.format(x=x, rx="WEST", tx=", ".join(sorted(self.positions[0])), more=more)

    def execute(self, commands: list[int]) -> list[int]:
        """Execute the first command; what goes on."""
        if len(self.positions) == 1:
            return commands
        before = self.position
        if commands[0] == RESET:
            self.position = 0
        elif commands[0] == ADVANCE:
            if self.position + 1 < len(self.positions):
                self.position += 1
            elif self.ring:
                self.position = 0
        pops = self.pop == "always_pop"
        if self.pop.startswith("pop_on_advance"):
            pops = commands[0] == ADVANCE and self.position != before
            pops |= self.pop == "pop_on_advance_nop" and commands[0] == NOP
        if pops:
            return [*commands[1:], NOP]
        return commands


def switches(pick: random.Random) -> Case:
    """A stream of data and router commands down a row; every PE takes what its switch gives it, some of them slowly, so that
    the stream stands before commands that have not been executed."""
    width = pick.randrange(2, 6)
    routers = [Router(pick, x == width - 1) for x in range(1, width)]
    layout = ROW.format(x=0, rx="RAMP", tx="EAST", more="") + "".join(r.text(x) for x, r in enumerate(routers, 1))
    got: list[list[int]] = [[] for _ in range(width)]
    sends, constants = [], []
    for value in range(1, pick.randrange(8, 50)):
        commands = [pick.choice((NOP, ADVANCE, ADVANCE, RESET)) for _ in range(COMMANDS)]
        is_command = pick.random() < 0.3
        if is_command:
            names = ", ".join(("control.opcode.NOP", "ADV", "control.opcode.SWITCH_RST")[c] for c in commands)
            constants.append(
                f"const p{value} = control.encode_payload({COMMANDS}, [{COMMANDS}]control.opcode{{ {names} }}, "
                f"[{COMMANDS}]bool{{ {', '.join(['true'] * COMMANDS)} }}, true, {{}});"
            )
            sends.append(f"command(p{value});")
        else:
            sends.append(f"send({value});")
        for x, router in enumerate(routers, 1):
            to = router.positions[router.position]
            if "RAMP" in to and not is_command:
                got[x].append(value)
            if is_command:
                commands = router.execute(commands)
            if "EAST" not in to:
                break
    slow = [pick.choice((0, 0, 20, 100)) for _ in range(width)]
    lines = "\n".join(constants)
    text = f"""var idle: u32 = 0;
var n: u16 = 0;
const slow = [{width}]u16{{ {literals(slow)} }};
{lines}
task take(v: u32) void {{
  out[n] = v; n += 1;
  for (@range(u16, slow[x])) |_| {{ idle += 1; }}
}}
fn main() void {{
  if (x == 0) {{ {" ".join(sends)} }}
  sys.unblock_cmd_stream();
}}
comptime {{ if (x != 0) {{ @bind_data_task(take, if (@is_arch("wse3")) @get_data_task_id(iq) else @get_data_task_id(c)); }} }}
"""
    return Case(width, layout, text, got)


# ---------------------------------------------------------------- running

KINDS: dict[str, Callable[[random.Random], Case]] = {
    f.__name__: f for f in (maps, filters, simd, rings, fifos, pumps, switches)
}


def outcome(case: Case, folder: Path, arch: str, optimise: int) -> list[list[int]]:
    """`out` of every PE in the end."""
    (folder / "layout.csl").write_text(switching.LAYOUT.format(width=case.width, layout=case.layout), encoding="utf-8")
    pe = switching.PE.replace("[16]u32", f"[{OUT}]u32")
    (folder / "pe.csl").write_text(pe % case.pe, encoding="utf-8")
    program = meshlang.compile(folder / "layout.csl", arch=arch, optimise=optimise, cache=False)
    fabric = program.start(echo=False, max_cycles=2_000_000)
    if not optimise:
        fabric.session.machine.step_by_step()
    fabric.launch("main")
    fabric.run()
    return fabric.read("out", count=OUT)[0].tolist()


def one(kind: str, number: int, folder: Path) -> str | None:
    """Run a case both ways; what is wrong."""
    pick = random.Random(f"{kind} {number}")
    case = KINDS[kind](pick)
    arch = pick.choice(("wse2", "wse3"))
    expected = [values + [0] * (OUT - len(values)) for values in case.expected]
    for optimise in (0, 1):
        try:
            found = outcome(case, folder, arch, optimise)
        except MeshlangError as error:
            return f"-O{optimise}, {arch}: {error}"
        for x, values in enumerate(expected):
            if found[x] != values:
                return f"-O{optimise}, {arch}: out of PE {x} is {found[x]}, and {values} was expected"
    return None


def fuzz(
    count: int, seed: int, kinds: list[str] | None = None, until: float = float("inf")
) -> tuple[dict[str, int], list[str]]:
    """`count` cases of each kind, or as many as there is time for: how many, and what went wrong."""
    done = dict.fromkeys(kinds or KINDS, 0)
    wrong = []
    with tempfile.TemporaryDirectory() as place:
        for number in range(seed * 1_000_000, seed * 1_000_000 + count):
            for kind in done:
                if time.monotonic() > until:
                    return done, wrong
                try:
                    found = one(kind, number, Path(place))
                except Exception:
                    found = traceback.format_exc()
                if found is not None:
                    wrong.append(f"{kind} {number}: {found}")
                done[kind] += 1
    return done, wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.devices", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="cases of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--only", type=int, metavar="N", help="case N of the kinds, and its program")
    options = parser.parse_args()
    if options.only is not None:
        with tempfile.TemporaryDirectory() as place:
            for kind in options.kinds:
                case = KINDS[kind](random.Random(f"{kind} {options.only}"))
                print(case.layout, case.pe, case.expected, one(kind, options.only, Path(place)), sep="\n")
        return 0
    done, wrong = fuzz(options.count, options.seed, options.kinds)
    print(*wrong, ", ".join(f"{n} of {kind}" for kind, n in done.items()), f"{len(wrong)} wrong", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
