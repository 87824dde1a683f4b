"""What `why` can find: one row per cause. docs/repl.md shows this table, and each row has a program in
tests/inspect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    title: str
    change: str


RULES = {
    "extent": Rule(
        "a receive is longer than what is sent",
        "make the extents equal: the fabin_dsd must ask for as many wavelets as the fabout_dsd sends",
    ),
    "never_sent": Rule(
        "a receive waits for a PE that never sends",
        "start the send on that PE: is its function launched, its task bound and activated?",
    ),
    "one_more": Rule(
        "one receive more than there are sends",
        "start as many receives as sends: is a send left out, or a receive started twice?",
    ),
    "circle": Rule(
        "PEs wait for each other in a circle",
        "make one of the operations asynchronous (.async = true), or let one side receive before it sends",
    ),
    "no_source": Rule(
        "nothing can reach the PE on this color",
        "let the route begin at a PE that sends: rx = .{RAMP} there, and matching rx and tx on the way",
    ),
    "no_ramp": Rule("the route does not lead to the PE", "add RAMP to the tx of that color at the receiving PE"),
    "wrong_color": Rule(
        "a receive names another color than the one that arrives",
        "give the fabin_dsd and its queue the color that the route brings to this PE",
    ),
    "no_queue": Rule(
        "wavelets arrive for which the PE has no input queue",
        "initialise one for the color: @initialize_queue(queue, .{ .color = c })",
    ),
    "no_taker": Rule(
        "wavelets arrive that nothing takes",
        "start a receive on that queue, or bind and unblock a data task for the color",
    ),
    "data_blocked": Rule(
        "the task for arriving wavelets is blocked",
        "unblock it: @unblock(id), or .unblock of the operation that it should wait for",
    ),
    "task_blocked": Rule(
        "a task was activated, but is blocked",
        "unblock it: @unblock(id), or .unblock of the operation that it should wait for",
    ),
    "thread_blocked": Rule("a microthread is blocked", "unblock it: @unblock of its ut_id"),
    "no_unblock": Rule(
        "the launched function never unblocks the command stream",
        "call sys_mod.unblock_cmd_stream() once per launch, on every PE, when the work is done",
    ),
    "not_activated": Rule(
        "the command stream is unblocked in a task that was not started",
        "activate that task: @activate(id), or .activate of the operation it follows",
    ),
    "too_few": Rule(
        "the task that unblocks the command stream waits for more wavelets",
        "send as many as that task counts, or unblock when those that come are there",
    ),
    "busy_wait": Rule(
        "a loop waits for what only another task can bring",
        "end the task instead of looping: tasks are not interrupted. Go on in the task that the event starts",
    ),
    "broken_route": Rule("the route leads nowhere", "make tx of one router and rx of the next agree"),
    "switch": Rule(
        "a switch points elsewhere", "advance it (a control wavelet, or .advance_switch), or start at another .pos"
    ),
    "teardown": Rule(
        "a color is in teardown",
        "leave it when the route is set: tile_config.teardown.exit(color); where a library sets it, make the same call on all PEs",
    ),
    "send_extent": Rule(
        "a send is longer than what is received",
        "make the extents equal: the fabout_dsd must send as many wavelets as the fabin_dsd takes",
    ),
    "filter": Rule("a filter keeps wavelets from the PE", "receive what the filter lets pass, or widen the filter"),
    "ring": Rule(
        "a route goes round",
        "break the ring: let one router of it send to its RAMP, and not on to where the wavelets came from",
    ),
    "host_out": Rule(
        "the host waits for more wavelets than the program streams out",
        "ask for as many as the PEs send on that color, or start the task that sends the rest",
    ),
    "held_stream": Rule(
        "data for the host are to leave before the launch is over, and the host takes them after it",
        "unblock the command stream in the launched function, before the send is complete: the copy can then begin",
    ),
    "host": Rule("the host sends nothing on this color", "stream data to it: `send` here, memcpy_h2d in a host script"),
    "fifo": Rule(
        "a FIFO is empty or full, and nothing changes that", "push (or pop) as many elements on the other side"
    ),
}
