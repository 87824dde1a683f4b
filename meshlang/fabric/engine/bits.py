"""Readers and writers of packed words (ir/records.py), for compiled code.

A reader is an intrinsic: where it is called, two instructions stand in its place. So it costs neither a call nor the
compilation of a function of its own. What it takes may be of any integer type (a word of U needs no `np.int64(...)`
around it); what it gives is an int64. With NUMBA_DISABLE_JIT=1 they are plain functions that give the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.records import Bits, Packed

# this source is also a module of `fabric.uncompiled`
COMPILED = not __name__.startswith("meshlang.fabric.uncompiled.")
if COMPILED:
    from numba.core import config

    COMPILED = not config.DISABLE_JIT

if COMPILED:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    def reader(field: Bits) -> Any:
        """field of a word."""

        def get(typingctx, word):
            def codegen(context, builder, sig, args):
                value = context.cast(builder, args[0], sig.args[0], types.int64)
                return _field(builder, value, _int64(field.first), field)

            return types.int64(word), codegen

        return intrinsic(get)

    def reader_at(field: Bits) -> Any:
        """field i of a word."""

        def get(typingctx, word, i):
            def codegen(context, builder, sig, args):
                value = context.cast(builder, args[0], sig.args[0], types.int64)
                number = context.cast(builder, args[1], sig.args[1], types.int64)
                return _field(builder, value, _place(builder, number, field), field)

            return types.int64(word, i), codegen

        return intrinsic(get)

    def writer(field: Bits) -> Any:
        """A word with a field set to a value."""

        def put(typingctx, word, value):
            def codegen(context, builder, sig, args):
                old = context.cast(builder, args[0], sig.args[0], types.int64)
                new = context.cast(builder, args[1], sig.args[1], types.int64)
                return _with(builder, old, new, _int64(field.first), field)

            return types.int64(word, value), codegen

        return intrinsic(put)

    def writer_at(field: Bits) -> Any:
        """A word with its field i set to a value."""

        def put(typingctx, word, i, value):
            def codegen(context, builder, sig, args):
                old = context.cast(builder, args[0], sig.args[0], types.int64)
                number = context.cast(builder, args[1], sig.args[1], types.int64)
                new = context.cast(builder, args[2], sig.args[2], types.int64)
                return _with(builder, old, new, _place(builder, number, field), field)

            return types.int64(word, i, value), codegen

        return intrinsic(put)

    def _int64(value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def _place(builder: Any, number: Any, field: Bits) -> Any:
        """First bit of a field that there is several times."""
        if field.width != 1:
            number = builder.mul(number, _int64(field.width))
        return builder.add(number, _int64(field.first))

    def _field(builder: Any, value: Any, first: Any, field: Bits) -> Any:
        if field.signed:
            value = builder.shl(value, builder.sub(_int64(64 - field.width), first))
            return builder.ashr(value, _int64(64 - field.width))
        return builder.and_(builder.lshr(value, first), _int64(field.low))

    def _with(builder: Any, word: Any, value: Any, first: Any, field: Bits) -> Any:
        kept = builder.and_(word, builder.not_(builder.shl(_int64(field.low), first)))
        return builder.or_(kept, builder.shl(builder.and_(value, _int64(field.low)), first))

else:

    def reader(field: Bits) -> Any:
        first, low = field.first, field.low
        if field.signed:
            return lambda word: np.int64(field.get(int(word)))
        return lambda word: np.int64(int(word) >> first & low)

    def reader_at(field: Bits) -> Any:
        return lambda word, i: np.int64(field.get(int(word), int(i)))

    def writer(field: Bits) -> Any:
        return lambda word, value: _int64(field.put(int(value), int(word)))

    def writer_at(field: Bits) -> Any:
        return lambda word, i, value: _int64(field.put(int(value), int(word), int(i)))

    def _int64(value: int) -> Any:
        value &= (1 << 64) - 1
        return np.int64(value - (1 << 64) if value >> 63 else value)


def accessors(*declared: type[Packed]) -> dict[str, Callable[..., Any]]:
    """Readers and writers of all fields: name_field(word) and name_with_field(word, value); with a number behind the
    word where there are several of a field."""
    out: dict[str, Callable[..., Any]] = {}
    for d in declared:
        for key, field in d.FIELDS.items():
            several = field.count > 1
            out[f"{d.NAME}_{key}"] = reader_at(field) if several else reader(field)
            out[f"{d.NAME}_with_{key}"] = writer_at(field) if several else writer(field)
    return out
