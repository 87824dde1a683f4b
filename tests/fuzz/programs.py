"""Random programs for one PE: scalars, control flow, memory, pointers, calls of all kinds (directly, through pointers to
functions of several signatures, in circles, with and without results), structs and vector operations, mixed.

A program has shared globals and helpers, and functions `run0`, `run1`, ... without parameters, each a program of its own: it
reads and writes globals and ends, or faults. Loops are bounded, so that every function ends.
"""

from __future__ import annotations

import random

INTS = ("i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64")
MEMORY = ("i8", "u8", "i16", "u16", "i32", "u32")
FLOATS = ("f16", "f32")
EDGES = (0, 1, 2, 3, 4, 7, 8, 10, 15, 16, 100, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 2147483647)
EDGES += (2147483648, 4294967295, 4294967296, 6364136223846793005)
DIVISORS = (1, 2, 3, 4, 5, 7, 8, 10, 12, 16, 30, 64, 100, 127, 1000, 4096, 40503, 65537, 2147483647, 2147516417)


def bounds(t: str) -> tuple[int, int]:
    bits = int(t[1:])
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if t[0] == "i" else (0, (1 << bits) - 1)


STEPS = "steps"  # instead of a type: how often a function calls itself
POINTED = ("u16", "i16", "i32", "f32")  # types with a pointer to one of their variables


class Generator:
    """`faults`: how often something may fault. `vectors`: vector operations too (not for the reference interpreter).
    `params`: names of parameters of the program, from 0 to 120, that some constants are."""

    def __init__(self, seed: int, faults: float = 0.1, vectors: bool = False, params: tuple[str, ...] = ()):
        self.rng = random.Random(seed)
        self.faults, self.vectors, self.params = faults, vectors, params
        self.lines: list[str] = []
        self.globals: dict[str, str] = {}  # name -> type
        self.arrays: dict[str, tuple[str, int]] = {}
        self.constants: dict[str, tuple[str, int]] = {}
        self.helpers: list[tuple[str, list[str], str]] = []
        self.rings: list[tuple[str, str]] = []
        self.families: dict[str, tuple[str, list[str], str, list[str]]] = {}  # pointer -> its type, members
        self.names = 0
        self.depth = 0
        self.loops = 0
        self.can_call = True

    def pick(self, items):
        return items[int(self.rng.random() * len(items))]

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def fresh(self, prefix: str = "v") -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    # ------------------------------------------------------------ the whole

    def program(self, functions: int) -> str:
        self.lines += [f"param {p}: i16;" for p in self.params]
        for t in (*MEMORY, "i64", "u64", *FLOATS, "bool"):
            for k in range(2):
                name = f"g_{t}_{k}"
                self.globals[name] = t
                self.lines.append(f"var {name}: {t} = {self.literal(t)};")
        for t in (*MEMORY, *FLOATS):
            n = self.pick((1, 3, 4, 8, 10))
            name = f"a_{t}"
            self.arrays[name] = (t, n)
            self.lines.append(f"var {name} = [{n}]{t}{{ {', '.join(self.literal(t) for _ in range(n))} }};")
            self.lines.append(f"var b_{t} = [{n}]{t}{{ {', '.join(self.literal(t) for _ in range(n))} }};")
            name = f"c_{t}"
            self.constants[name] = (t, 4)
            self.lines.append(f"const {name} = [4]{t}{{ {', '.join(self.literal(t) for _ in range(4))} }};")
        self.lines.append("var g_zero: u16 = 0;")
        self.lines.append("const pair = struct { x: i16, y: u32 };")
        self.lines.append("var s0: pair; var s1: pair;")
        for t in POINTED:
            self.lines.append(f"var q_{t}: *{t} = &g_{t}_{self.rng.randrange(2)};")
            self.lines.append(
                f"fn put_{t}(at: *{t}, x: {t}) {t} {{ const old = at.*; at.* = x; return {self.pick(('old', f'g_{t}_0', 'at.*'))}; }}"
            )
            self.lines.append(f"noinline fn get_{t}(at: *{t}) {t} {{ return at.*; }}")
        for name, t in (("p_u16", "u16"), ("p_i32", "i32"), ("p_f32", "f32")):
            self.lines.append(f"var {name}: [*]{t} = &a_{t};")
        if self.vectors:
            for t in ("i16", "f16", "f32"):
                for k in range(2):
                    self.lines.append(
                        f"var m{k}_{t} = [16]{t}{{ {', '.join(self.literal(t, 9) for _ in range(16))} }};"
                    )
                    self.lines.append(
                        f"const d{k}_{t} = @get_dsd(mem1d_dsd, .{{ .tensor_access = |i|{{8}} -> m{k}_{t}[i + {k}] }});"
                    )
        for _ in range(4):
            self.helper()
        for k in range(3):
            self.family(k)
        for _ in range(2):
            self.helper()
        self.recursive()
        self.together()
        self.ring()
        for k in range(functions):
            self.function(k)
        return "\n".join(self.lines)

    def helper(self) -> None:
        name = self.fresh("help")
        params = [self.pick((*INTS, *FLOATS)) for _ in range(self.rng.randrange(4))]
        ret = self.pick((*INTS, *FLOATS, "void", "bool"))
        names = {self.fresh("p"): t for t in params}
        scope = dict(names)
        kind = self.pick(("fn", "fn", "noinline fn", "noinline fn", "inline fn"))
        body = self.block(scope, 1, set(names), 3)
        if ret != "void":
            body.append(f"return {self.expr(ret, scope, 2)};")
        head = ", ".join(f"{n}: {t}" for n, t in names.items())
        self.lines += [f"{kind} {name}({head}) {ret} {{", *("  " + b for b in body), "}"]
        self.helpers.append((name, params, ret))

    def recursive(self) -> None:
        """A function that calls itself up to two times, with results, so often as its first argument says."""
        name, t = self.fresh("again"), self.pick(INTS)
        scope = {"x": t}
        first, second = (f"{name}(steps - 1, {self.expr(t, scope, 1)})" for _ in range(2))
        body = self.block(scope, 1, {"x"}, 2)
        ends = f"  if (steps == 0) {{ return {self.expr(t, {'x': t}, 1)}; }}"
        if self.chance(0.5):
            back = (
                f"const a = {first}; const b = {second}; return {self.pick(('a + b', 'a - b', 'b - a', 'a ^ b', 'a'))};"
            )
        else:
            back = f"return {first} {self.pick(('+', '-', '^', '|'))} {self.expr(t, scope, 1)};"
        self.lines += [f"fn {name}(steps: u16, x: {t}) {t} {{", ends, *("  " + b for b in body), f"  {back}", "}"]
        self.helpers.append((name, [STEPS, t], t))

    def together(self) -> None:
        """Two functions that call each other, with results; the end of one calls a function without parameters."""
        names, t = [self.fresh("turn") for _ in range(2)], self.pick(INTS)
        self.lines.append(
            f"{self.pick(('noinline fn', 'fn'))} {names[0]}_end() {t} {{ return {self.expr(t, {}, 1)}; }}"
        )
        for k, name in enumerate(names):
            scope = {"x": t}
            body = self.block(scope, 0, {"x"}, 2)
            other = f"{names[1 - k]}(steps - 1, {self.expr(t, scope, 1)})"
            end = f"{names[0]}_end()" if self.chance(0.5) else self.expr(t, scope, 0)
            back = f"{other} {self.pick(('+', '-', '^'))} {self.pick((end, self.expr(t, scope, 0)))}"
            if self.chance(0.3):
                back = f"{end} - {back}"
            self.lines += [f"fn {name}(steps: u16, x: {t}) {t} {{", f"  if (steps == 0) {{ return {end}; }}"]
            self.lines += [*("  " + b for b in body), f"  return {back};", "}"]
        self.helpers += [(name, [STEPS, t], t) for name in names]

    def family(self, k: int) -> None:
        """Functions of one type, a variable that points to one of them, and one that calls what it is given."""
        params = [self.pick((*INTS, *FLOATS)) for _ in range(self.pick((0, 1, 1, 2, 4)))]
        ret = self.pick((*INTS, *INTS, *FLOATS, "bool", "void"))
        pointer, shape = f"f{k}", f"*const fn({', '.join(params)}){ret}"
        members = []
        for _ in range(2):
            name = self.fresh("member")
            scope = {self.fresh("p"): t for t in params}
            body = self.block(scope, 1, set(scope), 2)
            if ret != "void":
                body.append(f"return {self.expr(ret, scope, 1)};")
            head = ", ".join(f"{n}: {t}" for n, t in scope.items())
            self.lines += [f"fn {name}({head}) {ret} {{", *("  " + b for b in body), "}"]
            members.append(name)
            self.helpers.append((name, params, ret))
        self.lines.append(f"var {pointer}: {shape} = &{self.pick(members)};")
        self.families[pointer] = (shape, params, ret, members)
        self.helpers += [(pointer, params, ret)] * 2
        name, scope = self.fresh("through"), {self.fresh("p"): t for t in params}
        head = "".join(f", {n}: {t}" for n, t in scope.items())
        call = f"to({', '.join(scope)})"
        body = self.block(scope, 0, set(scope), 2)
        if ret == "void":
            body.append(f"{call};")
        elif ret in INTS and self.chance(0.5):
            body.append(f"const a = {call}; return {call} {self.pick('+-^')} a;")
        else:
            body.append(f"return {call};")
        self.lines += [
            f"{self.pick(('fn', 'noinline fn'))} {name}(to: {shape}{head}) {ret} {{",
            *("  " + b for b in body),
            "}",
        ]
        self.helpers.append((name, [pointer, *params], ret))

    def argument(self, kind: str, scope: dict[str, str], depth: int = 0) -> str:
        if kind == STEPS:
            if self.chance(0.3):
                return f"({self.expr('u16', scope, 0)} & 3)"
            return f"@as(u16, {self.rng.randrange(5)})"
        if kind in self.families:
            return self.member(kind)
        return self.expr(kind, scope, depth)

    def member(self, pointer: str) -> str:
        """A function that a pointer may point to."""
        return pointer if self.chance(0.3) else f"&{self.pick(self.families[pointer][3])}"

    def target(self, t: str, scope: dict[str, str]) -> str:
        """The address of a variable."""
        place = [f"g_{t}_0", f"g_{t}_1"]
        if f"a_{t}" in self.arrays:
            place.append(f"a_{t}[{self.index(self.arrays[f'a_{t}'][1], scope)}]")
        if t == "i16":
            place += ["s0.x", "s1.x"]
        return f"&{self.pick(place)}"

    def ring(self) -> None:
        """Functions that call each other in a circle, `left` times altogether."""
        self.lines.append("var left: u16 = 0;")
        rings = [(self.fresh("ring"), self.pick(INTS)) for _ in range(self.pick((1, 2, 3)))]
        for k, (name, t) in enumerate(rings):
            p = self.fresh("p")
            scope = {p: t}
            body = self.block(scope, 1, {p}, 3)
            body.append(self.around(rings[(k + 1) % len(rings)], scope))
            if self.chance(0.4):
                body[-1] = (
                    f"if ({self.condition(scope, 1)}) {{ {body[-1]} }} else {{ {self.around(self.pick(rings), scope)} }}"
                )
            if self.chance(0.5):
                body += self.block(scope, 0, {p}, 2)
            self.lines += [f"fn {name}({p}: {t}) void {{", "  if (left == 0) { return; }", "  left -= 1;"]
            self.lines += [*("  " + b for b in body), "}"]
        self.rings = rings

    def around(self, function: tuple[str, str], scope: dict[str, str]) -> str:
        return f"{function[0]}({self.expr(function[1], scope, 0)});"

    def function(self, k: int) -> None:
        body = self.block({}, 2, set(), 6)
        self.lines += [f"fn run{k}() void {{", *("  " + b for b in body), "}"]

    # ------------------------------------------------------------ statements

    def block(self, scope: dict[str, str], depth: int, fixed: set[str], most: int) -> list[str]:
        """`scope`: locals in reach; `fixed`: those that may not be assigned."""
        scope = dict(scope)
        fixed = set(fixed)
        out: list[str] = []
        for _ in range(self.rng.randrange(1, most + 1)):
            out += self.statement(scope, depth, fixed)
        return out

    def statement(self, scope: dict[str, str], depth: int, fixed: set[str]) -> list[str]:
        kinds = ["local", "assign", "assign", "global", "global", "element", "element", "compound", "call", "struct"]
        kinds += ["pointer", "pointer", "aim", "local", "call", "near", "near"]
        if depth > 0:
            kinds += ["if", "if", "for", "while", "for", "switch"]
        if self.vectors:
            kinds += ["vector", "vector"]
        if self.chance(self.faults):
            kinds += ["assert"]
        kind = self.pick(kinds)
        if kind == "local":
            t = self.pick((*INTS, *FLOATS, "bool"))
            name = self.fresh()
            word = self.pick(("var", "var", "const"))
            line = f"{word} {name}: {t} = {self.expr(t, scope, 2)};"
            scope[name] = t
            if word == "const":
                fixed.add(name)
            return [line]
        if kind in ("assign", "compound"):
            free = [n for n in scope if n not in fixed]
            if free:
                name = self.pick(free)
                t = scope[name]
                if kind == "compound" and t in INTS:
                    return [f"{name} {self.pick(('+=', '-=', '*=', '|=', '^=', '&='))} {self.expr(t, scope, 1)};"]
                return [f"{name} = {self.expr(t, scope, 2)};"]
            kind = "global"
        if kind == "global":
            name = self.pick(list(self.globals))
            t = self.globals[name]
            if t in INTS and self.chance(0.3):
                return [f"{name} {self.pick(('+=', '-=', '*=', '^='))} {self.expr(t, scope, 1)};"]
            return [f"{name} = {self.expr(t, scope, 2)};"]
        if kind == "element":
            name = self.pick(list(self.arrays))
            t, n = self.arrays[name]
            return [f"{name}[{self.index(n, scope)}] = {self.expr(t, scope, 2)};"]
        if kind == "struct":
            which = self.pick(("s0", "s1"))
            if self.chance(0.2):
                return [f"{which} = {'s1' if which == 's0' else 's0'};"]
            field, t = self.pick((("x", "i16"), ("y", "u32")))
            return [f"{which}.{field} = {self.expr(t, scope, 2)};"]
        if kind == "call" and self.rings and depth > 0 and self.chance(0.3):
            return [f"left = {self.rng.randrange(6)};", self.around(self.pick(self.rings), scope)]
        if kind == "call":
            calls = [h for h in self.helpers if h[2] == "void"]
            if not calls:
                return self.statement(scope, 0, fixed)
            name, params, _ = self.pick(calls)
            return [f"{name}({', '.join(self.argument(t, scope, 1) for t in params)});"]
        if kind == "pointer":
            t = self.pick(POINTED)
            way = self.rng.randrange(5)
            if way == 0:
                return [f"q_{t} = {self.target(t, scope)};"]
            if way == 1:
                return [f"g_{t}_1 = put_{t}({self.target(t, scope)}, {self.expr(t, scope, 1)});"]
            if way == 2 and t in ("u16", "i32", "f32"):
                return [f"p_{t}[{self.index(self.arrays[f'a_{t}'][1], scope)}] = {self.expr(t, scope, 1)};"]
            return [f"q_{t}.* {self.pick(('=', '=', '+='))} {self.expr(t, scope, 1)};"]
        if kind == "near":
            return self.near(scope)
        if kind == "aim":
            if not self.families:
                return self.statement(scope, 0, fixed)
            name = self.pick(list(self.families))
            members = self.families[name][3]
            if self.chance(0.5):
                return [f"{name} = &{self.pick(members)};"]
            return [f"if ({self.condition(scope, 1)}) {{ {name} = &{members[0]}; }} else {{ {name} = &{members[1]}; }}"]
        if kind == "assert":
            return [f"@assert({self.condition(scope, 1)});"]
        if kind == "vector":
            return [self.vector(scope)]
        if kind == "if":
            out = [f"if ({self.condition(scope, 2)}) {{", *self.inner(scope, depth, fixed)]
            if self.chance(0.5):
                out += ["} else {", *self.inner(scope, depth, fixed)]
            return [*out, "}"]
        if kind == "switch":
            out = [f"switch ({self.expr('i16', scope, 1)}) {{"]
            for value in self.rng.sample(range(-1, 5), 2):
                out += [f"  {value} => {{", *self.inner(scope, depth, fixed), "  },"]
            return [*out, "  else => {", *self.inner(scope, depth, fixed), "  }", "}"]
        if kind == "for":
            t = self.pick(("i16", "u16", "i32", "u32", "i8", "u8"))
            name = self.fresh("k")
            stop = (
                str(self.pick((0, 1, 2, 3, 4, 5, 8, 12)))
                if self.chance(0.7)
                else f"@as({t}, ({self.expr('u16', scope, 1)}) & 7)"
            )
            start = ""
            if self.chance(0.3):
                start = f"{self.pick((0, 1, 2))}, "
            step = f", {self.pick((1, 2, 3))}" if start or self.chance(0.2) else ""
            if step and not start:
                start = "0, "
            inner = dict(scope)
            inner[name] = t
            if t[0] == "i" and self.chance(0.15):
                start, stop, step = (
                    f"{self.pick((1, 3, 6))}, ",
                    self.pick(("-1", "0", "-4")),
                    f", -{self.pick((1, 1, 2))}",
                )
            body = self.loop(inner, depth, fixed | {name})
            return [f"for (@range({t}, {start}{stop}{step})) |{name}| {{", *body, "}"]
        name = self.fresh("w")
        t = self.pick(("i16", "u16", "i32", "u8"))
        inner = dict(scope)
        inner[name] = t
        limit = self.pick((1, 2, 3, 5, 9)) if self.chance(0.7) else f"(({self.expr(t, scope, 1)}) & 7)"
        body = self.loop(inner, depth, fixed | {name})
        scope[name] = t  # what it is behind the loop
        fixed.add(name)
        first, step = 0, f"+= {self.pick((1, 1, 1, 2))}"
        test = f"{name} {self.pick(('<', '<', '<='))} {limit}"
        way = self.rng.randrange(8)
        if way == 0:
            first, step, test = self.pick((1, 4, 7)), "-= 1", f"{name} {self.pick(('>', '!='))} 0"
        elif way == 1:  # around the end of its type
            first, test = bounds(t)[1] - self.rng.randrange(3), f"{name} != {bounds(t)[0] + self.rng.randrange(3)}"
            step = "+= 1"
        if self.chance(0.15) and not any("continue" in line for line in body):
            body += [f"  {name} {step};", f"  if (!({test})) {{ break; }}"]
            return [f"var {name}: {t} = {first};", "while (true) {", *body, "}"]
        return [f"var {name}: {t} = {first};", f"while ({test}) : ({name} {step}) {{", *body, "}"]

    def near(self, scope: dict[str, str]) -> list[str]:
        """Loads and stores of one array, one after the other: at a few fixed places and a few that are computed, some of
        them perhaps the same."""
        name = self.pick(list(self.arrays))
        t, n = self.arrays[name]
        places = [str(self.rng.randrange(n)) for _ in range(2)]
        out = []
        for _ in range(2):
            places.append(self.fresh("at"))
            out.append(f"const {places[-1]} = ({self.expr('u16', scope, 1)}) % {n};")
        if t in ("u16", "i32", "f32") and self.chance(0.3):
            out.append(f"q_{t} = &{name}[{self.pick(places)}];")
        for _ in range(self.rng.randrange(3, 8)):
            element = f"{name}[{self.pick(places)}]"
            way = self.rng.randrange(8)
            if way < 3:
                out.append(f"{element} = {self.expr(t, scope, self.rng.randrange(2))};")
            elif way < 5:
                other = self.pick([f"g_{t}_0", f"g_{t}_1"])
                out.append(f"{other} {self.pick(('=', '+='))} {element};")
            elif way == 7:
                out.append(self.pick((f"{name} = b_{t};", f"b_{t} = {name};")))
            elif way == 5:
                out.append(f"{element} {self.pick(('+=', '-=', '*='))} {name}[{self.pick(places)}];")
            elif t in POINTED:
                out.append(self.pick((f"q_{t}.* += {element};", f"{element} = q_{t}.*;")))
        return ["{", *("  " + line for line in out), "}"]

    def loop(self, scope: dict[str, str], depth: int, fixed: set[str]) -> list[str]:
        self.loops += 1
        body = self.inner(scope, depth, fixed)
        if self.chance(0.2):
            body.insert(
                self.rng.randrange(len(body) + 1) if all(b.startswith("  ") and b.endswith(";") for b in body) else 0,
                f"  if ({self.condition(scope, 1)}) {{ {self.pick(('break', 'continue'))}; }}",
            )
        self.loops -= 1
        return body

    def inner(self, scope: dict[str, str], depth: int, fixed: set[str]) -> list[str]:
        return ["  " + line for line in self.block(scope, depth - 1, fixed, 3)]

    def vector(self, scope: dict[str, str]) -> str:
        t = self.pick(("i16", "f16", "f32"))
        a, b, c = (f"d{self.rng.randrange(2)}_{t}" for _ in range(3))
        if self.chance(0.3):
            a = f"@increment_dsd_offset({a}, @as(i16, {self.index(4, scope, safe=True)}), {t})"
        if t == "i16":
            kind = self.rng.randrange(3)
            if kind == 0:
                return f"@add16({a}, {b}, {c});"
            if kind == 1:
                return f"@mov16({a}, {self.expr('i16', scope, 1)});"
            return f"@xor16({a}, {b}, {self.expr('i16', scope, 1)});"
        suffix = "h" if t == "f16" else "s"
        kind = self.rng.randrange(4)
        if kind == 0:
            return f"@fadd{suffix}({a}, {b}, {c});"
        if kind == 1:
            return f"@fmac{suffix}({a}, {b}, {c}, {self.expr(t, scope, 1)});"
        if kind == 2:
            return f"@fmov{suffix}({a}, {self.expr(t, scope, 1)});"
        return f"@fmul{suffix}({a}, {b}, {self.expr(t, scope, 1)});"

    # ------------------------------------------------------------ expressions

    def literal(self, t: str, most: int = 1 << 40) -> str:
        if t == "bool":
            return self.pick(("true", "false"))
        if t in FLOATS:
            return self.pick(("0.0", "1.0", "-1.5", "0.25", "3.0", "100.0", "-7.5", "0.1"))
        low, high = bounds(t)
        if self.params and self.names and most > 200 and self.chance(0.3):
            return f"@as({t}, {self.pick(self.params)})"
        v = self.pick(EDGES) if self.chance(0.7) else self.rng.randint(low, high)
        if self.chance(0.3):
            v = -v
        v = max(low, min(high, v, most))
        return str(max(v, -most))

    def index(self, n: int, scope: dict[str, str], safe: bool = False) -> str:
        if self.chance(0.35):
            return str(self.rng.randrange(n))
        near = [v for v, t in scope.items() if t in ("u16", "i16", "i32", "u32", "u8", "i8")]
        if near and self.chance(self.faults * 2) and not safe:
            return f"@as(u16, {self.pick(near)}) + g_zero"  # not known while compiling
        e = self.pick(near) if near and self.chance(0.7) else self.expr("u16", scope, 1)
        if e in near:
            return (
                f"@as(u16, {e}) % {n}" if self.chance(0.5) else f"(@as(u16, {e}) & {(1 << (n.bit_length() - 1)) - 1})"
            )
        return f"({e}) % {n}"

    def condition(self, scope: dict[str, str], depth: int) -> str:
        if depth > 0 and self.chance(0.3):
            word = self.pick(("and", "or"))
            return f"({self.condition(scope, depth - 1)}) {word} ({self.condition(scope, depth - 1)})"
        if self.chance(0.15):
            flags = [v for v, t in scope.items() if t == "bool"] + ["g_bool_0", "g_bool_1"]
            return self.pick(("", "!")) + self.pick(flags)
        t = self.pick((*INTS, *FLOATS))
        op = self.pick(("==", "!=", "<", "<=", ">", ">="))
        return f"{self.expr(t, scope, 1)} {op} {self.expr(t, scope, depth)}"

    def expr(self, t: str, scope: dict[str, str], depth: int) -> str:
        """An expression of type t."""
        if t == "bool":
            return f"({self.condition(scope, depth)})"
        leaves = [v for v, u in scope.items() if u == t]
        if depth <= 0 or self.chance(0.15):
            if leaves and self.chance(0.6):
                return self.pick(leaves)
            if self.chance(0.4):
                return f"@as({t}, {self.literal(t)})"
            return self.memory(t, scope)
        if self.chance(0.12):
            calls = [h for h in self.helpers if h[2] == t]
            if calls:
                name, params, _ = self.pick(calls)
                return f"{name}({', '.join(self.argument(p, scope) for p in params)})"
        if self.chance(0.1):
            other = self.pick((*INTS, *FLOATS))
            x = self.expr(other, scope, depth - 1)
            # not known while compiling, where a value that does not fit is an error
            return f"@as({t}, g_{other}_0 + {x})" if other in FLOATS else f"@as({t}, {x})"
        if self.chance(0.1):
            return f"(if ({self.condition(scope, 1)}) {self.expr(t, scope, depth - 1)} else {self.expr(t, scope, depth - 1)})"
        if t in INTS and self.chance(0.12):
            return self.chain(t, scope)
        x = self.expr(t, scope, depth - 1)
        if t in FLOATS:
            if self.chance(0.1):
                return f"(-{x})"
            return f"({x} {self.pick('+-*/')} {self.expr(t, scope, depth - 1)})"
        kind = self.rng.randrange(10)
        if kind < 4:
            return f"({x} {self.pick('+-*')} {self.expr(t, scope, depth - 1)})"
        if kind < 6:
            return f"({x} {self.pick('&|^')} {self.expr(t, scope, depth - 1)})"
        if kind < 8:
            op = self.pick("/%")
            if self.chance(0.6):
                low, high = bounds(t)
                d = min(high, self.pick(DIVISORS))
                return f"({x} {op} {-d if low < 0 and self.chance(0.2) else d})"
            y = self.expr(t, scope, depth - 1)
            return f"({x} {op} ({y} + @as({t}, g_zero)))" if self.chance(self.faults) else f"({x} {op} ({y} | 1))"
        if kind == 8:
            bits = int(t[1:])
            amount = str(self.rng.randrange(bits)) if self.chance(0.6) else f"({self.expr('u16', scope, 0)} % {bits})"
            return f"({x} {self.pick(('<<', '>>'))} @as(u16, {amount}))"
        return f"({self.pick('-~')}{x})"

    def chain(self, t: str, scope: dict[str, str]) -> str:
        """Several operations with constants, one on the other, perhaps of a narrower type that wraps on the way."""
        inner = self.pick([u for u in INTS if int(u[1:]) <= int(t[1:])])
        x = self.expr(inner, scope, 0)
        for _ in range(self.rng.randrange(2, 4)):
            low, high = bounds(inner)
            c = (
                self.rng.randint(max(low, -40000), min(high, 40000))
                if self.chance(0.5)
                else self.pick((1, 2, 3, 100, 127))
            )
            x = f"({x} {self.pick('++-**&|^')} {c})"
        return x if inner == t else f"@as({t}, {x})"

    def memory(self, t: str, scope: dict[str, str]) -> str:
        """A value of type t from memory."""
        if t in ("u16", "i32", "f32") and self.chance(self.faults * 0.2):
            return f"p_{t}[g_u16_{self.rng.randrange(2)}]"  # perhaps outside of memory
        found = [f"g_{t}_0", f"g_{t}_1"]
        if f"a_{t}" in self.arrays:
            found += (
                [f"a_{t}[{self.index(self.arrays[f'a_{t}'][1], scope if self.depth < 2 else {})}]"] * 2
                if self.deeper()
                else []
            )
            found += [f"c_{t}[{self.rng.randrange(4)}]"]
        if t in ("u16", "i32", "f32"):
            found.append(f"p_{t}[{self.rng.randrange(self.arrays[f'a_{t}'][1])}]")
        if t in POINTED:
            found += [f"q_{t}.*", f"get_{t}({self.pick((f'q_{t}', f'&g_{t}_1'))})"]
        if t == "i16":
            found += ["s0.x", "s1.x"]
        if t == "u32":
            found += ["s0.y", "s1.y"]
        return self.pick(found)

    def deeper(self) -> bool:
        """An index may hold an expression: not for ever."""
        self.depth += 1
        ok = self.depth % 3 == 1
        return ok
