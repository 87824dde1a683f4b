"""Steps of an explanation: data while they are looked at, words when they are shown. WORDS is the table of words; only
people read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meshlang.fabric.waiting import Wait
from meshlang.fabric.wording import reason_text, thread_text

from . import query


@dataclass(frozen=True)
class Step:
    """One thing that is said: its name in WORDS, and of what. Equal steps say the same."""

    what: str
    values: tuple[tuple[str, Any], ...] = ()
    then: Step | None = None  # what else is known about it

    def value(self, name: str) -> Any:
        return next((value for key, value in self.values if key == name), None)


def step(what: str, then: Step | None = None, **values: Any) -> Step:
    """Values: numbers, names; (x, y), a PE; a tuple of those; a tuple of names, the sides of a route; a Wait, which is
    shown as what it waits for; a Step."""
    return Step(what, tuple(values.items()), then)


WORDS: dict[str, str] = {
    # routes (routes.py)
    "no_route": "{pe} has no route for color {color}",
    "in_teardown": "color {color} is in teardown at {pe}",
    "from_nowhere": "the route of color {color} at {pe} receives from no side",
    "to_nowhere": "the route of color {color} at {pe} leads nowhere: it has no tx",
    "receives_off": "{pe} receives color {color} from {side}, off the rectangle",
    "sends_off": "{pe} sends color {color} to {side}, off the rectangle",
    "receives_off_switched": "{pe} receives color {color} from {side}, off the rectangle (its switch is at position {position})",
    "sends_off_switched": "{pe} sends color {color} to {side}, off the rectangle (its switch is at position {position})",
    "receives_unrouted": "{pe} receives color {color} from {side}, but {near} there has no route for it",
    "sends_unrouted": "{pe} sends color {color} to {side}, but {near} there has no route for it",
    "receives_unsent": "{pe} receives color {color} from {side}, but {near} there sends it to {sides}",
    "sends_unreceived": "{pe} sends color {color} to {side}, but {near} there receives it from {sides}",
    "receives_unsent_switched": "{pe} receives color {color} from {side}, but {near} there sends it to {sides} (its switch is at "
    "position {position})",
    "sends_unreceived_switched": "{pe} sends color {color} to {side}, but {near} there receives it from {sides} (its switch is at "
    "position {position})",
    # the walk from PE to PE
    "closes": "which closes the circle",
    "same_circle": "it is in that circle, too",
    "held_up": "{pe} is held up: {thread} {wait}",
    "comes_from_waiting": "color {color} comes from {pe}, where {thread} is at {operation} ({place}) and {wait}",
    "comes_from_host": "color {color} comes from the host",
    "comes_from_no_code": "color {color} comes from {pes}, where no code is",
    "comes_from_idle": "color {color} comes from {pes}, where nothing is running any more; it has sent {sent:wavelets} in all",
    "come_from_idle": "color {color} comes from {pes}, where nothing is running any more; each has sent {sent:wavelets} in all",
    "comes_from_other": "color {color} comes from {pes}, where no operation sends on it; it has sent {sent:wavelets} in all",
    "come_from_other": "color {color} comes from {pes}, where no operation sends on it; each has sent {sent:wavelets} in all",
    "leads_to_no_queue": "color {color} leads to {pe}, which has no input queue for it",
    "leads_to_taker": "color {color} leads to {pe}, where {operation} ({place}) takes it",
    "leads_to_waiting": "color {color} leads to {pe}, where {operation} ({place}) {wait}",
    "leads_to_full": "color {color} leads to {pe}, whose input queue {queue} holds {count} wavelets that nothing takes",
    "leads_to_host": "color {color} leads to the host, which takes a stream when the commands before it are over",
    "leads_round": "the route of color {color} goes round through {pes}, and never leads to a ramp",
    "there_is": "there {thread} is at {operation} ({place}) and {wait}",
    "no_sender": "no PE sends to {pe} on color {color}: the route goes round without a RAMP in rx",
    # a PE and its router
    "switch_at": "the switch of color {color} at {pe} is at position {position} of {positions}",
    "no_ramp_tx": "the route of color {color} at {pe} is {route}, without RAMP in tx",
    "no_ramp_rx": "the router of {pe} receives color {color} from {sides}, not from RAMP",
    "no_ramp_rx_switched": "the router of {pe} receives color {color} from {sides}, not from RAMP (its switch is at position "
    "{position})",
    "filtered": "the filter of color {color} at {pe} has kept {kept:wavelets} from the PE",
    "other_color": "color {color} leads there, and the PE has no input queue for it: is that the color to receive?",
    "over": "on {pe}, where the color is in teardown, nothing is running any more",
    "command_over": "on {pe}, where the color is in teardown, {command} is done",
    "library_sets": "<{library}> sets the route of color {color} when it is called; here it has not been, or with other arguments "
    "than elsewhere",
    "taken_all": "{pe} has taken {taken:wavelets} in all, and no receive is left there",
    "taken_before": "what it has sent was taken by receives before this one",
    "task_is_blocked": "on {pe} the task {task} is activated, but blocked",
    "data_task_blocked": "the data task {task} (id {id}) is blocked",
    "task_inactive": "task {task} (id {id}) of {pe} is not active",
    "not_started": "{command} has not been started there",
    "fifo_untouched": "on {pe} no operation puts anything into {fifo}",
    "fifo_undrained": "on {pe} no operation takes anything from {fifo}",
    "fifo_filled": "{fifo} is filled by {thread}, which is at {operation} ({place}) and {wait}",
    "fifo_emptied": "{fifo} is emptied by {thread}, which is at {operation} ({place}) and {wait}",
    # what the code says for certain (why/code.py)
    "sends_in": "color {color} is sent in {where}",
    "sends_nothing": "the code there sends nothing on color {color}",
    "activated_in": "it is activated in {where}",
    "never_activated": "nothing in the code there activates it",
    "unblocked_in": "it is unblocked in {where}",
    "never_unblocked": "nothing in the code there unblocks it",
    # the command stream (why/command.py)
    "stream_never_unblocked": "the code there nowhere calls unblock_cmd_stream",
    "unblocked_in_idle": "unblock_cmd_stream is called in task {task} (id {id}), which is not active",
    "unblocked_in_task": "unblock_cmd_stream is called in the {kind} task {task}",
    "not_this_time": "{command} calls unblock_cmd_stream, but this time did not come to that line",
    "has_run": "{task} (id {id}) has run, and has not come to that line",
    "has_not_run": "task {task} (id {id}) has not run",
    "task_taken": "{task} is a {kind} task; {pe} has taken {taken:wavelets} in all",
    "data_no_route": "the data task {task} waits for color {color}, and {pe} has no route for it",
    "data_no_ramp": "the data task {task} waits for color {color}, and {pe} has the route {route}, without RAMP in tx, for it",
    "data_taken": "the data task {task} waits for color {color}; {pe} has taken {taken:wavelets} in all",
    # what is found without a walk
    "host_waits": "the host waits for {wanted} wavelets of color {color} and got {got}",
    "ring": "wavelets of color {color} go round, and never come to a ramp",
    "element": "{thread}: {operation}, {wait}",
    "busy_operation": "{thread}: {operation}{of}, started by {task}, {wait}",
    "under_way": "{thread}: {operation}{of}, started by {task}, under way",
    "of_elements": " of {total} elements",
    "starts_soon": "{command} has been launched, and starts soon",
    "at_work": "{state} in {task}",
    "keeps_waiting": "{state} in {task}, for more than {cycles} cycles; until it ends, {kept} cannot run",
    "kept_task": "task {task} (id {id})",
    "kept_data_task": "data task {task} (id {id}), for which a wavelet has come,",
}


class _Number(int):
    """A number, or with the format "wavelets" so many of them."""

    def __format__(self, form: str) -> str:
        return f"{int(self)} wavelet{'' if self == 1 else 's'}" if form == "wavelets" else int.__format__(self, form)


def step_text(said: Step) -> str:
    text = WORDS[said.what].format_map({name: _shown(value) for name, value in said.values} | _threads(said))
    return text + (f"; {step_text(said.then)}" if said.then is not None else "")


def _threads(said: Step) -> dict[str, str]:
    """A wait names its thread and its operation, too."""
    wait = next((value for _, value in said.values if isinstance(value, Wait)), None)
    return {} if wait is None else {"thread": thread_text(wait), "operation": wait.operation}


def _shown(value: Any) -> Any:
    if isinstance(value, Step):
        return step_text(value)
    if isinstance(value, Wait):
        return reason_text(value)
    if isinstance(value, int):
        return _Number(value)
    if not isinstance(value, tuple):
        return value
    if len(value) == 2 and isinstance(value[0], int):
        return f"PE {value[0]},{value[1]}"
    if value and isinstance(value[0], tuple):
        return query.places(list(value))
    return "+".join(value) or "nowhere"
