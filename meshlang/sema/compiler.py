"""The driver: from a top file and its options to a Program."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..diag import Diagnostic, Diagnostics, MeshlangError, did_you_mean
from ..ir.isa import PE_MEMORY
from ..ir.program import DIRECTIONS, MOST_INPUTS, RAMP, ColorConfig, Fabric, Program
from ..paths import stdlib_dir
from ..syntax import ast
from ..syntax.parser import parse_file, parse_text
from ..syntax.source import Span
from .analysis.analyzer import Analyzer, compile_instance, plain_instance
from .model import types as T
from .model.files import Files
from .model.layout import LayoutState, TileSpec
from .model.modules import ModuleInstance
from .model.options import CompileOptions
from .model.together import Space
from .model.trail import led_here
from .model.unit import Instance, QueueState, Unit, memory_map
from .model.values import POISON, FnValue, Known, Mem, Shared, show

FRAMES_PER_CALL = 60  # of Python, for one call at compile time
MEMCPY_IDS = frozenset((21, 22, 23, 27, 28, 30))


MOST_IMPORTS = 64  # inside each other


class Builtins(Protocol):
    """The registry of builtins, which stands above the analysis (it is `meshlang.builtins`)."""

    def lookup(self, name: str) -> Any: ...
    def names(self) -> list[str]: ...


def _names_itself(node: ast.Node, name: str) -> bool:
    """Does a layout give PEs the code of its own file? As far as the text says: a name that is computed counts as another
    file's."""
    if isinstance(node, ast.BuiltinCall) and node.name == "set_tile_code" and len(node.args) > 1:
        file = node.args[2] if len(node.args) > 2 else None
        return file is None or (isinstance(file, ast.StringLit) and os.path.basename(file.value) == name)
    return any(_names_itself(child, name) for child in ast.children(node))


class Compiler:
    """One compilation. Files are parsed once; every tile program has a Unit of its own."""

    def __init__(self, options: CompileOptions, builtins: Builtins):
        self.options = options
        self.builtins = builtins
        self.diagnostics = Diagnostics()
        self.files = Files(options.sources)
        self.trees: dict[str, ast.Module] = {}
        self.printed: list[str] = []
        self.silent = False
        # the layout's file is the code of PEs too: its comptime blocks, and those of what it imports, are theirs
        self.layout_is_code = False
        self.room: dict[str, int] = {}  # file -> bytes that the constants of its tile programs take at most, so far
        self.source = ""  # the file that names the program
        self.shared = Shared()  # structs
        self.calls = Shared()  # results of comptime calls
        self.effects = 0  # calls of builtins that do more than give a value
        self.space: Space | None = None  # the layout loops that are being evaluated at once
        self.apart: dict[int, str] = {}  # loops that cannot be, and why
        # the functions that have been analysed: ids of their ast.FnDecl, which `trees` keeps
        self.reached: set[int] = set()
        self.importing: list[str] = []  # the imports that are under way, outermost first
        self.fixed_literals: dict[int, dict[int, Any]] = {}

    # ------------------------------------------------------------ files

    def tree(self, path: str) -> ast.Module:
        found = self.trees.get(path)
        if found is None:
            text = self.options.sources.get(path)
            found = parse_file(path, self.files.content) if text is None else parse_text(text, path)
            self.trees[path] = found
        return found

    def literals(self, tree: ast.Module) -> dict[int, Any]:
        """The struct literals of a file that are made of literals and directions only; each is evaluated once."""
        found = self.fixed_literals.get(id(tree))
        if found is None:
            found = self.fixed_literals[id(tree)] = fixed_literals(tree)
        return found

    def readable(self, cx: Analyzer, places: list[str], node: Any) -> list[str]:
        """Those of some paths that the program may read. MS0215 if all are outside the folder that it is confined to,
        whether there is such a file or not."""
        folder = self.options.confined_to
        if not folder:
            return places
        roots = [folder, *(os.path.realpath(p) for p in (str(stdlib_dir()), *self.options.import_paths))]
        inside = [p for p in places if any(Path(os.path.realpath(p)).is_relative_to(root) for root in roots)]
        if not inside:
            cx.fail(
                "MS0215",
                "a program that is not trusted reads nothing outside its folder",
                node,
                "--import-path allows another folder",
            )
        return inside

    def folders(self) -> list[str]:
        """Where else a program's files are looked for."""
        if self.options.confined_to:
            return list(self.options.import_paths)
        return [*self.options.import_paths, *filter(None, os.environ.get("CSL_IMPORT_PATH", "").split(":"))]

    def places(self, cx: Analyzer, path: str, node: Any) -> list[str]:
        """What a path may mean: beside the file that names it, then beside the top file, as published programs with folders of
        modules expect, then in the import paths."""
        folders = [os.path.dirname(cx.module.path), os.path.dirname(self.source), *self.folders()]
        places = list(dict.fromkeys(os.path.normpath(os.path.join(folder, path)) for folder in folders))
        return self.readable(cx, places, node)

    def find_module(self, cx: Analyzer, path: str, node: Any) -> str:
        """The file of an import path. `<name>` is looked for in the standard library, then in the import paths; any
        other path in its `places`."""
        if path.startswith("<") and path.endswith(">"):
            name = path[1:-1]
            roots = [stdlib_dir(), *self.folders()]
            names = [name if name.endswith(".csl") else name + ".csl"]
            for full in self.readable(cx, [os.path.join(root, n) for root in map(str, roots) for n in names], node):
                if self.files.is_file(full):
                    return os.path.normpath(full)
            known = sorted(str(p.relative_to(stdlib_dir()).with_suffix("")) for p in stdlib_dir().rglob("*.csl"))
            groups = dict.fromkeys(k.partition("/")[0] + ("/..." if "/" in k else "") for k in known)
            cx.fail(
                "MS0215",
                f"there is no library <{name}>",
                node,
                did_you_mean(name, known, "<{}>") or "give the folder of a library of your own with --import-path",
                notes=[f"libraries: {', '.join(groups)}"],
            )
        places = self.places(cx, path, node)
        for full in places:
            if self.files.is_file(full):
                return full
        return cx.fail(
            "MS0215",
            f"there is no file '{path}' (looked for {', '.join(places)})",
            node,
            "paths are relative to the importing file, the top file or a folder given with --import-path",
        )

    def tile_path(self, cx: Analyzer, path: str | None, node: Any) -> str:
        if path is None:
            return cx.module.path
        return self.find_module(cx, path, node)

    def import_module(self, cx: Analyzer, path: str, params: dict[str, Known], node: Any) -> ModuleInstance:
        full = self.find_module(cx, path, node.args[0])
        if len(self.importing) >= MOST_IMPORTS:
            last = [os.path.basename(p) for p in (*self.importing[-3:], full)]
            cx.fail(
                "MS0219",
                f"imports are nested more than {MOST_IMPORTS} deep: ... {' imports '.join(last)}",
                node,
                "a module cannot import itself, directly or through others",
            )
        self.importing.append(full)
        try:
            return self.imported(cx, path, full, params, node)
        finally:
            self.importing.pop()

    def imported(self, cx: Analyzer, path: str, full: str, params: dict[str, Known], node: Any) -> ModuleInstance:
        name = cx.module.qualified(cx.import_name) if cx.import_name else ""
        module = ModuleInstance(name, full, self.tree(full), cx.unit, params, import_span=node.span)
        known = module.param_names()
        for n in params:
            if n not in known:
                cx.warn("MS0216", f"module '{path}' has no param '{n}'", node, did_you_mean(n, known))
        reported = len(self.diagnostics.items)
        self.instantiate(module)
        led_here(self.diagnostics.items[reported:], node.span, "imported here")
        return module

    def plain_instance(self, unit: Unit, fn: FnValue) -> Instance:
        return plain_instance(unit, fn)

    def instantiate(self, module: ModuleInstance, comptime: bool = True) -> None:
        """Resolve a module's imports, then run its comptime blocks, both in textual order (facts 2.3)."""
        for item in module.tree.items:
            if (
                isinstance(item, ast.Decl)
                and item.kind == "const"
                and isinstance(item.init, ast.BuiltinCall)
                and item.init.name == "import_module"
            ):
                self.guarded(
                    lambda name=item.name, at=item: Analyzer(module.unit, module).global_value(module, name, at)
                )
        if not comptime or (module.unit.is_layout and self.layout_is_code):
            return
        for item in module.tree.items:
            if isinstance(item, ast.ComptimeBlock):
                self.run_comptime(module, item)

    def run_comptime(self, module: ModuleInstance, item: ast.ComptimeBlock) -> None:
        a = Analyzer(module.unit, module)
        a.top_level = not module.unit.is_layout
        a.scopes.append({})
        self.statements(a, item.body)

    def statements(self, a: Analyzer, body: ast.Block) -> None:
        """Run comptime statements one by one, so that one run reports the errors of all of them."""
        for s in body.stmts:
            if not self.guarded(lambda s=s: a.stmt(s)) and isinstance(s, ast.Decl):
                a.scopes[-1].setdefault(s.name, POISON)

    def guarded(self, action) -> bool:
        """Run it and collect its errors; False if there were any."""
        try:
            action()
            return True
        except MeshlangError as e:
            for d in e.diagnostics:
                self.diagnostics.add(d)
        except RecursionError:
            self.diagnostics.add(
                Diagnostic("MS0309", "comptime evaluation is nested too deeply", help="is a recursion endless?")
            )
        return False

    def print(self, text: str) -> None:
        if not self.silent:
            self.printed.append(text)
            print(text)

    # ------------------------------------------------------------ the program

    def compile(self, path: str) -> Program:
        path = self.source = os.path.normpath(path)
        tree = self.tree(path)
        layouts = [i for i in tree.items if isinstance(i, ast.LayoutBlock)]
        if not layouts:
            raise MeshlangError(
                Diagnostic(
                    "MS0610",
                    f"{path} has no layout block",
                    tree.span,
                    help="compile the file that holds `layout { ... }`",
                )
            )
        if len(layouts) > 1:
            raise MeshlangError(
                Diagnostic(
                    "MS0610", f"{path} has {len(layouts)} layout blocks", layouts[1].span, help="join them into one"
                )
            )
        layout = LayoutState(self.options.arch)
        unit = self.unit("layout", layout, True)
        bindings = self.top_params(tree, path)
        self.layout_is_code = _names_itself(layouts[0], os.path.basename(path))
        top = ModuleInstance("", path, tree, unit, bindings)
        self.instantiate(top, comptime=False)
        self.diagnostics.raise_if_errors()
        a = Analyzer(unit, top)
        a.in_layout = True
        a.scopes.append({})
        self.statements(a, layouts[0].body)
        if layout.width == 0 and not self.diagnostics.errors:
            self.diagnostics.add(Diagnostic("MS0601", "the layout never calls @set_rectangle", layouts[0].span))
        self.diagnostics.raise_if_errors()
        missing = layout.missing_tiles()
        if missing:
            shown = ", ".join(f"({x}, {y})" for x, y in missing[:8])
            self.diagnostics.add(
                Diagnostic(
                    "MS0604",
                    f"PEs without code: {shown}{', ...' if len(missing) > 8 else ''}",
                    layouts[0].span,
                    help="call @set_tile_code once for every PE of the rectangle",
                )
            )
        if all(spec.path != path for spec in layout.specs):
            for item in tree.items:
                if isinstance(item, ast.ComptimeBlock):
                    self.run_comptime(top, item)
        self.diagnostics.raise_if_errors()
        return self.build(layout, path, self.param_text(top), bindings)

    def compile_placed(self, layout: LayoutState, source: str) -> Program:
        """Compile a layout that was filled in without a layout block; PEs may be without code. `source` names it."""
        self.source = source
        with deep_recursion(self.options):
            return self.build(layout, source, {}, {})

    def build(self, layout: LayoutState, path: str, params: dict[str, str], bindings: dict[str, Known]) -> Program:
        """From an evaluated layout to the program. `bindings`: params of the file `path`, if it is the code of PEs
        too."""
        units, tiles = [], []
        names: dict[str, int] = {}
        for spec in layout.specs:
            n = names[spec.path] = names.get(spec.path, 0) + 1
            base = os.path.basename(spec.path)
            u = self.compile_tile(
                spec, layout, base if n == 1 else f"{base}#{n}", bindings if spec.path == path else {}
            )
            units.append(u)
            if u.overruns:
                break  # the other tile programs of an endless file are as endless
        self.diagnostics.raise_if_errors()
        for u in units:
            tiles.append(u.assemble())
            self.check_memory(u, tiles[-1])
        self.diagnostics.raise_if_errors()
        fabric = self.fabric(layout, units)
        self.diagnostics.raise_if_errors()
        program = Program(
            arch=self.options.arch,
            tiles=tiles,
            fabric=fabric,
            exports={n: (t.name, m) for n, (t, m, _) in layout.exports.items()},
            params=params,
            source=path,
            fabric_dims=self.options.fabric_dims,
            fabric_offsets=self.options.fabric_offsets,
            warnings=[d for d in self.diagnostics.items if d.severity == "warning"],
            unreached=self.unreached(),
        )
        return program

    def unreached(self) -> list[Span]:
        """The names of the functions that nothing reaches, in files of the user's."""
        library = stdlib_dir()
        return [
            item.name_span
            for path, tree in self.trees.items()
            if not Path(path).is_relative_to(library)
            for item in tree.items
            if isinstance(item, ast.FnDecl) and item.body is not None and id(item) not in self.reached
        ]

    def unit(self, name: str, layout: LayoutState, is_layout: bool = False) -> Unit:
        return Unit(self.options.arch, self.options.fp16_format, name, self.diagnostics, self, layout, is_layout)

    def top_params(self, tree: ast.Module, path: str) -> dict[str, Known]:
        """--params and --colors as bindings of the top file."""
        declared = {i.name: i for i in tree.items if isinstance(i, ast.Decl) and i.kind in ("param", "color")}
        bindings: dict[str, Known] = {}
        for n, v in {**self.options.params, **self.options.colors}.items():
            if n not in declared:
                self.diagnostics.add(
                    Diagnostic(
                        "MS0217",
                        f"{path} has no param '{n}'",
                        None,
                        notes=[f"params: {', '.join(declared) or 'none'}"],
                        help=did_you_mean(n, declared),
                    )
                )
            elif n in self.options.colors and not isinstance(v, Known):
                if not 0 <= int(v) < T.COLORS:
                    self.diagnostics.add(
                        Diagnostic(
                            "MS0404",
                            f"--colors: {n} is {v}, which is out of range: colors are 0 to {T.COLORS - 1}",
                            declared[n].span,
                        )
                    )
                bindings[n] = Known(T.COLOR, int(v))
            elif isinstance(v, bool):
                bindings[n] = Known(T.BOOL, v)
            elif isinstance(v, int):
                bindings[n] = Known(T.COMPTIME_INT, v)
            elif isinstance(v, float):
                bindings[n] = Known(T.COMPTIME_FLOAT, v)
            else:
                bindings[n] = Known(T.COMPTIME_STRING, str(v))
        return bindings

    def param_text(self, top: ModuleInstance) -> dict[str, str]:
        out = {}
        for name in top.param_names():
            try:
                value = Analyzer(top.unit, top).global_value(top, name, top.decls[name])
            except MeshlangError:
                continue
            if isinstance(value, Known):
                out[name] = show(value)
        return out

    def compile_tile(self, spec: TileSpec, layout: LayoutState, name: str, bindings: dict[str, Known]) -> Unit:
        """One tile program. Its constants stand before all that it writes to; how much room they take is known when it
        has been compiled, so the first tile program of a file that has some is compiled twice."""
        unit = self.compile_once(spec, layout, name, bindings)
        while unit.constants > unit.room and not self.diagnostics.errors:
            self.room[spec.path] = unit.constants
            self.silent = True  # what it prints has been printed
            try:
                unit = self.compile_once(spec, layout, name, bindings)
            finally:
                self.silent = False
        return unit

    def compile_pending(self, unit: Unit) -> None:
        while unit.pending:
            inst = unit.pending.pop(0)
            try:
                compile_instance(unit, inst)
            except RecursionError:
                self.diagnostics.add(
                    Diagnostic("MS0309", f"'{inst.fn.decl.name}' is nested too deeply", inst.fn.decl.name_span)
                )

    def compile_once(self, spec: TileSpec, layout: LayoutState, name: str, bindings: dict[str, Known]) -> Unit:
        unit = self.unit(name, layout)
        unit.keep_room(self.room.get(spec.path, 0))
        unit.param_text = {n: show(v) for n, v in spec.params.items()}
        try:
            tree = self.tree(spec.path)
        except MeshlangError as e:
            for d in e.diagnostics:
                self.diagnostics.add(d)
            return unit
        module = ModuleInstance("", spec.path, tree, unit, {**bindings, **spec.params}, import_span=spec.span)
        known = module.param_names()
        for n in spec.params:
            if n not in known:
                self.diagnostics.add(
                    Diagnostic(
                        "MS0216",
                        f"{os.path.basename(spec.path)} has no param '{n}'",
                        spec.span,
                        "warning",
                        help=did_you_mean(n, known),
                    )
                )
        self.instantiate(module)
        for item in tree.items:
            if isinstance(item, ast.Decl) and item.export:
                self.guarded(lambda item=item: self.keep_exported(unit, module, item))
        self.compile_pending(unit)  # functions may be the first to reach a module, which sets handlers
        handlers = unit.dispatcher_params()
        if handlers is not None:
            path = str(stdlib_dir() / "system" / "task29.csl")
            self.instantiate(ModuleInstance("task29", path, self.tree(path), unit, handlers))
            self.compile_pending(unit)
        for hook in unit.hooks:
            try:
                hook()
            except MeshlangError as error:
                for d in error.diagnostics:
                    self.diagnostics.add(d)
        self.check_queues(unit, spec)
        self.check_reserved(unit)
        unit.check_recursion()
        return unit

    @staticmethod
    def arriving(unit: Unit, spec: TileSpec) -> set[int]:
        """Colors with a route to the ramp on some PE of a tile program."""
        layout = unit.layout
        places = np.frombuffer(layout.tile, dtype=np.int32) == next(i for i, s in enumerate(layout.specs) if s is spec)
        configs = {color: {cfg} for color, (cfg, _) in unit.colors.items()}
        for color, table in layout.colors.items():
            numbers = np.unique(np.frombuffer(table, dtype=np.int32)[places])
            configs.setdefault(color, set()).update(layout.configs[n] for n in numbers if n >= 0)
        return {
            color
            for color, cfgs in configs.items()
            if any(tx >> RAMP & 1 for cfg in cfgs for _, tx in ((cfg.rx, cfg.tx), *(p for p in cfg.positions if p)))
        }

    def keep_exported(self, unit: Unit, module: ModuleInstance, item: ast.Decl) -> None:
        value = Analyzer(unit, module).global_value(module, item.name, item)
        if isinstance(value, Mem) and value.var is not None:
            value.var.name = item.name
            unit.address_of(value.var)

    def check_queues(self, unit: Unit, spec: TileSpec) -> None:
        """Data tasks, and colors that bring control wavelets only, get queues on WSE-2; on WSE-3 the program
        initialises them (facts 4.4).

        A DSD whose queue is not initialised is a fault when it runs: roles that never run it may leave the queue alone.
        """
        if unit.arch == "wse2":
            colors = {s.color for s in unit.inputs.values()}
            for b in unit.bound.values():
                if b.kind != "data" or b.id in colors:
                    continue
                # a task takes wavelets from the ramp: what numbers are left is for DSDs, and nothing but a place to wait
                queue = next(
                    (q for q in (1, 2, 3, 4, 5, 6, 7, 0, *range(8, MOST_INPUTS)) if q not in unit.inputs), None
                )
                assert queue is not None  # there are 24 colors
                unit.inputs[queue] = QueueState(b.id, "", b.span, automatic=True)
                colors.add(b.id)
            if any(b.kind == "control" for b in unit.bound.values()):
                # a color that reaches this PE, and that nobody else has bound: control wavelets may come on it
                for color in sorted(self.arriving(unit, spec) - colors):
                    queue = next((q for q in range(1, MOST_INPUTS) if q not in unit.inputs), None)
                    if queue is not None:
                        unit.inputs[queue] = QueueState(color, "", None, automatic=True)
            self.check_shared_ids(unit)
            self.check_colors(unit, ("fabout",), "the DSD's color is sent: leave '.color' out on wse2")
            return
        for b in unit.bound.values():
            if b.kind == "data" and b.id not in unit.inputs:
                unit.error(
                    "MS0411",
                    f"data task '{b.fn.decl.name}' is bound to input queue {b.id}, which is never initialised",
                    b.span,
                    help=f"if it is to run, write @initialize_queue(@get_input_queue({b.id}), .{{ .color = c }}) in a comptime block",
                    severity="warning",
                )
        self.check_colors(unit, ("fabin", "fabout"), "the queue's color counts: leave 'fabric_color' out on wse3")

    def check_colors(self, unit: Unit, kinds: tuple[str, ...], help: str) -> None:
        """A DSD and the queue it names have one color, if both have one; one of the two has no effect."""
        for kind, queue, color, span in unit.used_colors:
            state = (unit.inputs if kind == "fabin" else unit.outputs).get(queue)
            if kind in kinds and state is not None and state.color is not None and state.color != color:
                unit.error(
                    "MS0407",
                    f"{'input' if kind == 'fabin' else 'output'} queue {queue} is bound to color {state.color}, and this DSD "
                    f"names color {color}",
                    span,
                    labels=[(state.span, "bound here")],
                    help=help,
                    severity="warning",
                )

    def check_shared_ids(self, unit: Unit) -> None:
        """WSE-2: a wavelet of color n starts task n, also where n is bound to a local task (facts 4.3)."""
        received = {s.color for s in unit.inputs.values()}
        blocked = dict(unit.blocks)
        for b in unit.bound.values():
            if b.kind == "local" and b.id in received and not blocked.get(b.id):
                unit.error(
                    "MS0413",
                    f"local task '{b.fn.decl.name}' has the id {b.id}, which is also a color this program receives",
                    b.span,
                    help="choose an id that is no color in use, or block it while wavelets may arrive",
                    severity="warning",
                )

    def check_reserved(self, unit: Unit) -> None:
        """Numbers that memcpy takes for itself on the machine (facts 8.1). An input queue of it is refused, as by the
        vendor's compiler; a published program initialises output queue 0, so that is a warning like the rest."""
        if not unit.uses_memcpy:
            return
        taken = [(f"task id {b.id}", b.span) for b in unit.bound.values() if b.id in MEMCPY_IDS]
        queues = (0,) if unit.arch == "wse2" else (0, 1)
        for q in queues:
            if q in unit.inputs and not unit.inputs[q].automatic:
                unit.error(
                    "MS0414",
                    f"input queue {q} belongs to memcpy, which this program uses",
                    unit.inputs[q].span,
                    help=f"use another one, from {len(queues)} on",
                )
            if q in unit.outputs and not unit.outputs[q].automatic:
                taken.append((f"output queue {q}", unit.outputs[q].span))
        taken += [
            (f"DSR 0 of dsr_{file}", unit.dsr_spans.get((file, 0)))
            for file, number in unit.dsrs
            if number == 0 and file in ("dest", "src1")
        ]
        for what, span in taken:
            unit.error(
                "MS0414",
                f"{what} is reserved for memcpy, which this program uses",
                span,
                severity="warning",
                help="it works here; on the machine choose another number",
            )

    def check_memory(self, unit: Unit, tile: Any) -> None:
        size = len(tile.image)
        if size > PE_MEMORY:
            self.diagnostics.add(
                Diagnostic(
                    "MS0701",
                    f"{unit.name} needs {size} bytes of memory, a PE has {PE_MEMORY}",
                    None,
                    notes=memory_map(tile.objects),
                    help="make the arrays smaller, or spread the data over more PEs",
                )
            )

    def fabric(self, layout: LayoutState, units: list[Unit]) -> Fabric:
        tile = layout.grid(layout.tile)
        colors = {c: layout.grid(t) for c, t in sorted(layout.colors.items())}
        host_in: dict[int, str] = {}
        host_out: dict[int, str] = {}
        for i, u in enumerate(units):
            host_in.update(u.host_in)
            host_out.update(u.host_out)
            for c in sorted(u.route_colors - set(u.colors)):
                # a color that only gets routes at run time needs its place in the router, without routes until then
                grid = colors.setdefault(c, np.full(tile.shape, -1, dtype=np.int32))
                grid[(tile == i) & (grid < 0)] = layout.config_of[layout.intern(ColorConfig(0, 0))]
            if not u.colors:
                continue
            where = tile == i
            for c, (cfg, span) in u.colors.items():
                grid = colors.setdefault(c, np.full(tile.shape, -1, dtype=np.int32))
                clash = where & (grid >= 0)
                if clash.any():
                    y, x = map(int, np.argwhere(clash)[0])
                    u.error(
                        "MS0603",
                        f"color {c} of PE ({x}, {y}) is configured by the layout and by {u.name}",
                        span,
                        help="at most one configuration per PE and color",
                    )
                    continue
                grid[where] = layout.config_of[cfg]
                layout.config_spans.setdefault((c, layout.config_of[cfg]), span)
        return Fabric(
            layout.width,
            layout.height,
            tile,
            dict(sorted(colors.items())),
            layout.configs,
            host_in,
            host_out,
            layout.config_spans,
        )


def fixed_literals(tree: ast.Module) -> dict[int, Any]:
    """Nodes of `.{ ... }` literals whose value cannot vary, mapped to True until they are evaluated.

    A file that gives a direction's name to something of its own has none: the name could mean either.
    """
    found: dict[int, Any] = {}
    named: set[str] = set()

    def walk(node: Any) -> bool:
        """Whether `node` is fixed; children are visited first."""
        kind = node.__class__
        if kind in (ast.IntLit, ast.FloatLit, ast.StringLit, ast.BoolLit):
            return True
        if kind is ast.Ident:
            return node.name in DIRECTIONS
        if isinstance(node, (ast.Decl, ast.FnDecl, ast.Param)):
            named.add(node.name)
        elif isinstance(node, ast.For):
            named.update(filter(None, (node.elem, node.index)))
        elif isinstance(node, ast.TensorAccess):
            named.update(node.vars)
        results = [walk(c) for c in ast.children(node)]
        if kind is ast.FieldInit:
            return all(results)
        if kind is ast.TupleLit or kind is ast.StructLit and node.type is None:
            fixed = all(results) and (kind is ast.TupleLit or len({f.name for f in node.fields}) == len(node.fields))
            if fixed:
                found[id(node)] = True
            return fixed
        return False

    for item in tree.items:
        walk(item)
    return {} if named & set(DIRECTIONS) else found


@contextlib.contextmanager
def deep_recursion(options: CompileOptions) -> Iterator[None]:
    """Room for the tree walks of a compilation, and for calls at compile time inside each other."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 20_000, FRAMES_PER_CALL * options.comptime_func_depth_limit))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


__all__ = ["Compiler", "deep_recursion"]
