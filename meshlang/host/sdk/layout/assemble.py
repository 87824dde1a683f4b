"""From the plan to the Program: code with its params, color configurations, and what the host needs to know."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from meshlang import builtins
from meshlang.diag import MeshlangError, did_you_mean
from meshlang.host.build import finish
from meshlang.host.context import run_context
from meshlang.host.progress import busy
from meshlang.ir.isa import Simd
from meshlang.ir.program import ColorConfig, Preload, Program, TileProgram
from meshlang.sema.compiler import Compiler
from meshlang.sema.model import types as T
from meshlang.sema.model.layout import LayoutState, TileSpec
from meshlang.sema.model.options import CompileOptions
from meshlang.sema.model.values import Known
from meshlang.syntax import ast
from meshlang.syntax.parser import parse_file

from .allocate import allocate, conflicts
from .artifacts import Port
from .code import Code
from .color import MAX_COLOR
from .paths import connect_ports
from .plan import Net, Plan, first
from .region import CodeRegion, Param, Positions

if TYPE_CHECKING:
    from .drawing import Drawing


def assemble(layout: Drawing, libs: list[str], fp16: str) -> tuple[Program, list[Port], dict[str, int]]:
    """Plan, route, allocate, compile. Values are chosen again when they turn out to be used by the code itself."""
    options = CompileOptions(
        layout.platform.target.arch, fp16_format=fp16, optimise=run_context().options.get("optimise", 1)
    )
    options.check()
    plan = _routed(layout)
    trees, codes = _read(plan)
    met = conflicts(plan)
    banned = _used_by_text(plan, codes)
    while True:
        values = allocate(plan, met, banned)
        with busy("compiling the layout"):
            program = _compile(plan, values, trees, codes, libs, fp16)
        new = _used_by_code(plan, values, program)
        if not any(v - banned.get(i, set()) for i, v in new.items()):
            break
        for i, v in new.items():
            banned[i] = banned.get(i, set()) | v
    program.preloads = _preloads(plan, program)
    return finish(program, options), _ports(plan, values), _report(plan, values)


def _routed(layout: Drawing) -> Plan:
    """A plan with its routes. Where wide ports do not find room to go around regions, on a larger fabric."""
    plan = Plan(layout)
    widest = max((len(tx.pes) for tx, *_ in layout.connections), default=1)
    try:
        connect_ports(plan)
        return plan
    except MeshlangError as error:
        larger = Plan(layout, plan.margin + 2 * widest)
        if widest == 1 or (larger.width, larger.height) == (plan.width, plan.height):
            raise
        try:
            connect_ports(larger)
        except MeshlangError:
            raise error from None
        return larger


# ---------------------------------------------------------------- code


def _read(plan: Plan) -> tuple[dict[str, ast.Module], dict[str, Code]]:
    """The trees of all files by path, and what they say by region. MS0957 for params that a file does not have."""
    trees: dict[str, ast.Module] = {}
    codes: dict[str, Code] = {}
    for region in plan.regions:
        path = os.path.normpath(region.source)
        try:
            if path not in trees:
                trees[path] = parse_file(path)
        except MeshlangError as error:
            for d in error.diagnostics:
                d.span = d.span or region.span
                plan.diagnostics.add(d)
            continue
        code = codes[region.name] = Code.of(trees[path])
        for name, param in region.params.items():
            if name not in code.params:
                plan.error(
                    "MS0957",
                    f"{region.source}, the code of region {region.name!r}, has no param {name!r}; it has: {', '.join(code.params) or 'none'}",
                    param.span,
                    help=did_you_mean(name, code.params),
                )
    plan.diagnostics.raise_if_errors()
    return trees, codes


def _compile(
    plan: Plan, values: list[int], trees: dict[str, ast.Module], codes: dict[str, Code], libs: list[str], fp16: str
) -> Program:
    target = plan.layout.platform.target
    compiler = Compiler(
        CompileOptions(
            arch=target.arch,
            import_paths=libs,
            fabric_dims=(plan.width, plan.height),
            fabric_offsets=(0, 0),
            fp16_format=fp16,
            simd=_simd(plan, codes),
        ),
        builtins,
    )
    compiler.trees.update(trees)
    layout = LayoutState(target.arch, plan.width, plan.height)
    tile = np.full(plan.width * plan.height, -1, np.int32)
    specs: dict[tuple[str, frozenset], int] = {}  # regions with equal code and params share it
    for region in plan.regions:
        rows, which = _variants(plan, values, region)
        numbers = []
        for row in rows:
            path = os.path.normpath(region.source)
            numbers.append(specs.setdefault((path, frozenset(row.items())), len(specs)))
            if numbers[-1] == len(layout.specs):
                params = {n: _known(codes[region.name], region.params[n], v) for n, v in row.items()}
                layout.specs.append(TileSpec(path, params, region.span))
        tile[plan.cells_of(region).ravel()] = np.array(numbers)[which]
    layout.tile = tile
    for net, value in zip(plan.nets, values):
        table = layout.colors.setdefault(value, np.full(plan.width * plan.height, -1, np.int32))
        for number in np.unique(net.route[net.route >= 0]):
            config = _config(plan, layout, plan.routes[number], net)
            table[net.route == number] = config
            layout.config_spans.setdefault((value, config), plan.places.get((net.number, int(number))))
    plan.diagnostics.raise_if_errors()
    program = compiler.compile_placed(layout, plan.layout.regions[0].source)
    fabric = program.fabric
    fabric.host_ports = True
    for stream in plan.layout.streams:
        value = values[plan.net(stream.color).number]
        (fabric.host_in if stream.incoming else fabric.host_out)[value] = stream.name
    return program


def _simd(plan: Plan, codes: dict[str, Code]) -> int:
    """How fabric DSDs without simd_mode treat 16-bit data: the dialect is told by the type of the params that take
    colors.

    SDK 1.4 gives a `color`, and a wavelet carries one element; 2.10 gives an integer, and a wavelet carries two.
    """
    kinds: dict[bool, tuple[CodeRegion, Param]] = {}
    for region in plan.layout.regions:
        for param in region.params.values():
            if param.colors:
                kinds.setdefault(codes[region.name].takes_color(param.name), (region, param))
    if len(kinds) == 2:
        (old, one), (new, two) = kinds[True], kinds[False]
        plan.error(
            "MS0964",
            f"{old.source} takes color {one.name!r} as a `color`, as in SDK 1.4, and {new.source} takes {two.name!r} as an integer, as in 2.10",
            two.span,
            [(one.span, "a `color`")],
            help="write all files for one of them: how many 16-bit elements a wavelet carries differs",
        )
        plan.diagnostics.raise_if_errors()
    if False not in kinds:
        return Simd.OFF
    return Simd.SIMD_32 if plan.layout.platform.target.arch == "wse2" else Simd.SIMD_MAX


def _variants(plan: Plan, values: list[int], region: CodeRegion) -> tuple[list[dict[str, int]], np.ndarray]:
    """The different sets of params in a region, and which one each PE (rows first) has."""
    names = list(region.params)
    columns = []
    for name in names:
        p = region.params[name]
        numbers = np.array([values[plan.net(c).number] for c in p.colors] + [0])
        columns += [p.given.ravel(), np.where(p.color >= 0, numbers[p.color], p.grid).ravel()]
    if not names:
        return [{}], np.zeros(region.width * region.height, np.int32)
    rows, which = np.unique(np.stack(columns, axis=1).astype(np.int64), axis=0, return_inverse=True)
    return [{n: int(row[2 * i + 1]) for i, n in enumerate(names) if row[2 * i]} for row in rows], which.reshape(
        -1
    ).astype(np.int32)


def _known(code: Code, param: Param, value: int) -> Known:
    """An integer; for a param without a type that is used as a color, a color."""
    if param.colors and code.params[param.name].type is None and code.takes_color(param.name):
        return Known(T.COLOR, value)
    return Known(T.COMPTIME_INT, value)


def _config(plan: Plan, layout: LayoutState, positions: Positions, net: Net) -> int:
    rx, tx = positions[0]
    if layout.arch == "wse2":
        for before, after in zip(positions, positions[1:]):
            if before[0] != after[0] and before[1] != after[1]:
                plan.error(
                    "MS0953",
                    f"color {net.name!r}: a switch position changes inputs and outputs at once ({plan.show((before, after))}); on wse2 it "
                    "changes one",
                    plan.places.get((net.number, plan.route_number(positions))),
                )
                return -1
    padded = (*positions, *[None] * (4 - len(positions))) if len(positions) > 1 else ()
    cfg = layout.intern(ColorConfig(rx, tx, padded))
    return layout.config_of[cfg]


# ---------------------------------------------------------------- numbers the code takes for itself


def _used_by_text(plan: Plan, codes: dict[str, Code]) -> dict[int, set[int]]:
    """For nets without a given value, by number: the values that the text of the code at their PEs uses."""
    arch, owner = plan.layout.platform.target.arch, plan.owner.ravel()
    return {
        i: {v for r in np.unique(owner[net.present]) if r >= 0 for v in codes[plan.regions[r].name].used(arch)}
        for i, net in enumerate(plan.nets)
        if net.value is None
    }


def _used_by_code(plan: Plan, values: list[int], program: Program) -> dict[int, set[int]]:
    """The same, from the compiled code: what the text alone did not tell."""
    tile = np.asarray(program.fabric.tile).ravel()
    found: dict[int, set[int]] = {}
    here = [np.unique(tile[net.present]) for net in plan.nets]
    for t, code in enumerate(program.tiles):
        mine = [i for i in range(len(values)) if t in here[i]]
        known = {values[i] for i in mine}
        used = _own_colors(code) - known
        if program.arch == "wse2":
            used |= {task.id for task in code.tasks if task.kind == "local"}
        used &= set(range(MAX_COLOR + 1))
        for i in mine:
            if plan.nets[i].value is None and used:
                found.setdefault(i, set()).update(used)
    return found


def _own_colors(code: TileProgram) -> set[int]:
    return {q.color for q in (*code.inputs, *code.outputs) if q.color is not None and q.color >= 0}


# ---------------------------------------------------------------- what the host needs


def _ports(plan: Plan, values: list[int]) -> list[Port]:
    ports = []
    for stream in plan.layout.streams:
        x, y = stream.region.origin if stream.region is not None else stream.location  # type: ignore[misc]
        ports.append(Port(stream.name, stream.incoming, values[plan.net(stream.color).number], x, y))
    return ports


def _preloads(plan: Plan, program: Program) -> list[Preload]:
    """The data of symbols. MS0958 when they do not fit their variable."""
    found = []
    tiles = np.asarray(program.fabric.tile)
    for region in plan.regions:
        x, y = region.origin
        for symbol in region.symbols.values():
            nbytes = symbol.data.shape[2] * symbol.data.itemsize
            part = tiles[y : y + region.height, x : x + region.width]
            address = np.zeros(part.shape, np.int32)
            for t in np.unique(part):
                code = program.tiles[int(t)]
                variable = next((o for o in code.objects if o.name == symbol.name), None)
                place = first((part == t).ravel())
                where = f"PE ({place % region.width}, {place // region.width}) of code region {region.name!r}"
                if variable is None:
                    message, help = (
                        f"{where} has no variable {symbol.name!r}",
                        did_you_mean(symbol.name, [o.name for o in code.objects]) or "declare it `export var`",
                    )
                elif variable.size != nbytes:
                    message = f"the data of {symbol.name!r} are {nbytes} bytes for each PE; {where} has {variable.type}, {variable.size} bytes"
                    help = "set_symbol_all(symbol, data, width, height) cuts the matrix into one tile for each PE"
                else:
                    address[part == t] = variable.address
                    continue
                plan.error("MS0958", message, symbol.span, help=help)
                break
            found.append(
                Preload(x, y, address, np.ascontiguousarray(symbol.data).view(np.uint8).reshape(*part.shape, nbytes))
            )
    plan.diagnostics.raise_if_errors()
    return found


def _report(plan: Plan, values: list[int]) -> dict[str, int]:
    """colors.json; also tells the script's Color objects their values."""
    report: dict[str, int] = {}
    for net, value in zip(plan.nets, values):
        report.update(dict.fromkeys(net.names, value))
        for color in net.colors:
            color._resolved = value
    return report


__all__ = ["assemble"]
