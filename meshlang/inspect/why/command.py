"""Why a launched function that has returned is not done: who was to unblock the command stream, and what that task
waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshlang.fabric.engine import state as s
from meshlang.fabric.recording.flight import flight
from meshlang.fabric.unblocking import stream_unblockers
from meshlang.inspect import names, query, routes
from meshlang.inspect.steps import Step, step
from meshlang.ir.program import TaskBinding, TileProgram

from . import code
from .findings import Place
from .notes import idle_notes

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine


def command(machine: Machine, place: Place, because: list[Step]) -> str | None:
    """The rule for a PE where the launched function has returned and nothing goes on."""
    pe = machine.pe(*place)
    tile = names.tile_of(machine, pe)
    if tile is None or machine.pes["cmd"][pe]:
        return None
    anything, itself, tasks = stream_unblockers(tile, machine.command or "")
    if not anything:
        because.append(step("stream_never_unblocked"))
        return "no_unblock"
    others = [b for b in tasks if b.kind != "local"]
    # a task that nothing activates is not where the program was to end, if there is another
    local = [b for b in tasks if b.kind == "local" and (not others or not code.is_never_activated(tile, b))]
    for b in local[:2]:
        because.append(step("unblocked_in_idle", code.starts(tile, b), task=b.name, id=b.id))
    if local:
        return _not_started(machine, place, tile, local[0], because) if len(local) == 1 else "not_activated"
    for b in others[:1]:
        because.append(step("unblocked_in_task", kind=b.kind, task=b.name))
        return _wavelet_task(machine, place, b, because)
    if itself:
        because.append(step("not_this_time", command=machine.command))
    return "no_unblock"


def _not_started(machine: Machine, place: Place, tile: TileProgram, task: TaskBinding, because: list[Step]) -> str:
    """From a task that was not activated to the one that would have activated it, as far as there is one and it has not
    run."""
    started = _started(machine, machine.pe(*place))
    seen = {task.id}
    while started is not None:
        owners = code.activators(tile, task)
        if len(owners) != 1 or owners[0].id in seen:
            break
        owner = owners[0]
        if owner.kind != "local":
            return _wavelet_task(machine, place, owner, because)
        if owner.id in started:
            because.append(step("has_run", task=owner.name, id=owner.id))
            break
        because.append(step("has_not_run", code.starts(tile, owner), task=owner.name, id=owner.id))
        seen.add(owner.id)
        task = owner
    return "not_activated"


def _started(machine: Machine, pe: int) -> set[int] | None:
    """Tasks that have run on a PE, if the flight recorder still holds them all."""
    if int(machine.state.W[s.Globals.flightn]) > s.FLIGHT:
        return None
    return {e.task & 63 for e in flight(machine) if e.kind == "task" and e.pe == pe and e.task < 128}


def _wavelet_task(machine: Machine, place: Place, task: TaskBinding, because: list[Step]) -> str:
    """A data or control task has not done its part: the wavelets it waits for."""
    taken = int(machine.received()[machine.pe(*place)])
    color: int | None = task.id
    if machine.state.W[s.Globals.wse3]:
        color = next((q.color for q in query.queues(machine, *place) if not q.output and q.id == task.id), None)
    if task.kind != "data" or color is None:
        because.append(step("task_taken", task=task.name, kind=task.kind, pe=place, taken=taken))
        return "too_few"
    here = query.channel(machine, color, *place)
    if here is None:
        because.append(step("data_no_route", task=task.name, color=color, pe=place))
        return "no_ramp"
    if "RAMP" not in here.tx:
        because.append(step("data_no_ramp", task=task.name, color=color, pe=place, route=query.route_text(here)))
        return "no_ramp"
    because.append(step("data_taken", task=task.name, color=color, pe=place, taken=taken))
    ends = routes.upstream(machine, color, place).ends
    idle_notes(machine, color, [p for p in ends if not query.operations(machine, machine.pe(*p))], because)
    return "too_few"
