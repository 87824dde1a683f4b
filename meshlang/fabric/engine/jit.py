"""How the engine is compiled: the decorators, the few LLVM intrinsics, and the entry point (from the cache).

With NUMBA_DISABLE_JIT=1, and in the package `fabric.uncompiled`, every function here has a plain Python twin that gives
the same bits.

Two rules keep both modes equal, and are followed in all engine sources: a value loaded from an unsigned array is
widened with `np.int64(...)` before arithmetic (numpy would keep the narrow type, Numba would not), and what is stored
is masked first.

The arrays are few, one-dimensional and passed one by one. A tuple of arrays would be more readable, but Numba passes
seven words an array, and counts references of tuple members. `_nrt=False` switches reference counting off: nothing in
the engine allocates.
"""

from __future__ import annotations

import functools
import os
import pickle
import platform
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...cache import discard, entry, load, store
from .. import sources
from . import faults
from .bits import COMPILED
from .state import NUMBERS

if COMPILED:
    import llvmlite
    import numba
    from llvmlite import binding, ir
    from numba import njit, types
    from numba.core import codegen, targetconfig
    from numba.core.caching import _Cache
    from numba.core.compiler import CompileResult
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.serialize import dumps
    from numba.extending import intrinsic
    from numba.np import arrayobj


def _features() -> dict[str, bool]:
    try:
        return dict(binding.get_host_cpu_features())
    except RuntimeError:  # llvmlite cannot tell on this host
        return {}


_CPU = _features() if COMPILED else {}
_ARM = platform.machine().lower() in ("aarch64", "arm64")
# LLVM lowers half <-> float conversions without hardware support to calls of a runtime library that a JIT does not link
HAS_HALF = _ARM or _CPU.get("f16c", False)
HAS_FMA = _ARM or _CPU.get("fma", False)
if os.environ.get("MESHLANG_NO_F16C"):
    HAS_HALF = HAS_FMA = False

# what compiled code depends on besides its sources: the tools' versions, the processor, and what is declared
_DEPENDS_ON = (
    (
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        sys.version,
        platform.machine(),
        binding.get_host_cpu_name(),
        repr(sorted(_CPU.items())),
        str(HAS_HALF),
        str(HAS_FMA),
        NUMBERS,
        faults.NUMBERS,
    )
    if COMPILED
    else ()
)

_OPTIONS = {"error_model": "numpy", "nogil": True, "_nrt": False}


def jit(function):
    """A helper: compiled into the one top-level function, never called from Python on its own (see `standalone`)."""
    if not COMPILED:
        return function
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)


def inline(function):
    """A helper on the hot path: LLVM is told to inline it."""
    if not COMPILED:
        return function
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True, **_OPTIONS)(function)


def cold(function):
    """A helper that runs rarely: compiled as it stands, which takes a fraction of the time, and not inlined."""
    if not COMPILED:
        return function
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, _dbg_optnone=True, **_OPTIONS)(function)


def standalone(function):
    """For tests and benchmarks: a compiled function that Python can call."""
    return njit(error_model="numpy")(function) if COMPILED else function


# ---------------------------------------------------------------- intrinsics

if COMPILED:

    @intrinsic
    def f32_of(typingctx, bits):
        """float32 with the given bits (an integer)."""

        def codegen(context, builder, sig, args):
            return builder.bitcast(context.cast(builder, args[0], sig.args[0], types.uint32), ir.FloatType())

        return types.float32(bits), codegen

    @intrinsic
    def bits_of(typingctx, value):
        """The bits of a float32, zero-extended to int64."""

        def codegen(context, builder, sig, args):
            return builder.zext(builder.bitcast(args[0], ir.IntType(32)), ir.IntType(64))

        return types.int64(types.float32), codegen

    @intrinsic
    def bits_of64(typingctx, value):
        """The bits of a float64."""

        def codegen(context, builder, sig, args):
            return builder.bitcast(args[0], ir.IntType(64))

        return types.int64(types.float64), codegen

    @intrinsic
    def f64_of(typingctx, bits):
        """float64 with the given bits."""

        def codegen(context, builder, sig, args):
            return builder.bitcast(args[0], ir.DoubleType())

        return types.float64(types.int64), codegen

    @intrinsic
    def llvm_half_to_f32(typingctx, bits):
        """float32 of an f16 given by its bits."""

        def codegen(context, builder, sig, args):
            raw = context.cast(builder, args[0], sig.args[0], types.uint16)
            return builder.fpext(builder.bitcast(raw, ir.HalfType()), ir.FloatType())

        return types.float32(bits), codegen

    @intrinsic
    def llvm_f32_to_half(typingctx, value):
        """The f16 bits nearest to a float32, ties to even."""

        def codegen(context, builder, sig, args):
            half = builder.fptrunc(args[0], ir.HalfType())
            return builder.zext(builder.bitcast(half, ir.IntType(16)), ir.IntType(64))

        return types.int64(types.float32), codegen

    @intrinsic
    def llvm_fma32(typingctx, a, b, c):
        """a * b + c, rounded once."""

        def codegen(context, builder, sig, args):
            return builder.fma(*args)

        f = types.float32
        return f(f, f, f), codegen

    @intrinsic
    def ctz(typingctx, word):
        """Number of trailing zero bits of a non-zero int64."""

        def codegen(context, builder, sig, args):
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.int64), codegen

    @intrinsic
    def prefetch(typingctx, array, index):
        """Fetch the cache line of an element, for writing. The index need not be one of the array's."""

        def codegen(context, builder, sig, args):
            found = context.make_array(sig.args[0])(context, builder, args[0])
            number = context.cast(builder, args[1], sig.args[1], types.intp)
            pointer = builder.bitcast(builder.gep(found.data, [number]), ir.IntType(8).as_pointer())
            flag = ir.IntType(32)
            form = ir.FunctionType(ir.VoidType(), [pointer.type, flag, flag, flag])
            fetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], form)
            builder.call(fetch, [pointer, flag(1), flag(3), flag(1)])
            return context.get_dummy_value()

        return types.void(array, index), codegen

    @intrinsic
    def load_acquire(typingctx, array, index):
        """An element of an array of int64 that another thread writes with `store_release`: what that thread wrote before is
        seen after it."""

        def codegen(context, builder, sig, args):
            found = context.make_array(sig.args[0])(context, builder, args[0])
            number = context.cast(builder, args[1], sig.args[1], types.intp)
            return builder.load_atomic(builder.gep(found.data, [number]), "acquire", 8)

        return types.int64(array, index), codegen

    @intrinsic
    def store_release(typingctx, array, index, value):
        """Set an element of an array of int64, after all that the thread has written so far."""

        def codegen(context, builder, sig, args):
            found = context.make_array(sig.args[0])(context, builder, args[0])
            number = context.cast(builder, args[1], sig.args[1], types.intp)
            new = context.cast(builder, args[2], sig.args[2], types.int64)
            builder.store_atomic(new, builder.gep(found.data, [number]), "release", 8)
            return context.get_dummy_value()

        return types.void(array, index, value), codegen

    @intrinsic
    def give_way(typingctx, address):
        """A thread waits: let others have the processor by the system's function at an address (no parameters, an int); 0:
        only tell the processor, if it knows how."""

        def codegen(context, builder, sig, args):
            function = ir.FunctionType(ir.IntType(32), [])
            with builder.if_else(builder.icmp_unsigned("!=", args[0], ir.Constant(ir.IntType(64), 0))) as (yes, no):
                with yes:
                    builder.call(builder.inttoptr(args[0], function.as_pointer()), [])
                with no:
                    if platform.machine().lower() in ("x86_64", "amd64"):
                        pause = ir.FunctionType(ir.VoidType(), [])
                        builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), pause), [])
            return context.get_dummy_value()

        return types.void(types.int64), codegen
else:

    def f32_of(bits):
        return np.uint32(int(bits) & 0xFFFFFFFF).view(np.float32)

    def bits_of(value):
        return np.int64(np.float32(value).view(np.uint32))

    def bits_of64(value):
        return np.float64(value).view(np.int64)

    def f64_of(bits):
        return np.int64(bits).view(np.float64)

    def llvm_half_to_f32(bits):
        return np.float32(np.uint16(int(bits) & 0xFFFF).view(np.float16))

    def llvm_f32_to_half(value):
        return np.int64(np.float16(np.float32(value)).view(np.uint16))

    def prefetch(array, index):
        pass

    def load_acquire(array, index):
        return array[index]

    def store_release(array, index, value):
        array[index] = value

    def give_way(address):
        time.sleep(0)

    llvm_fma32 = None  # f16.py supplies the emulation

    def ctz(word):
        word = int(word)
        return np.int64((word & -word).bit_length() - 1)


# ---------------------------------------------------------------- compiling


def cache_directory(file: str | Path) -> Path | None:
    """Where the compiled code of the entry point in a file is kept; None: nowhere."""
    return entry(_entry_name(Path(file)))


@functools.cache  # what this process has imported does not change any more, and who waits for another process looks often
def _entry_name(source: Path) -> str:
    return f"{source.stem}-{sources.key(source, _DEPENDS_ON)}"


if COMPILED:

    class _Kept(_Cache):
        """Compiled code in a file of the cache, in place of Numba's own index and files: those are found by the path and
        time of the source, ours by what it depends on, wherever it is installed."""

        def __init__(self, file: Path):
            self.file = file

        @property
        def cache_path(self):
            return str(self.file.parent)

        def load_overload(self, sig, target_context):
            data = load(self.file)
            if data is None:
                return None
            # Numba's own caches `refresh` the context first: that brings all that code is compiled from, in 0.3 s, and what is
            # compiled needs none of it
            try:
                of, parts = pickle.loads(data)
                if of == str(sig):
                    return CompileResult._rebuild(target_context, *parts)
            except Exception:  # what another version of the tools wrote, for instance: made anew
                pass
            discard(self.file)
            return None

        def save_overload(self, sig, data):
            store(self.file, dumps((str(sig), data._reduce())))

        def enable(self):
            pass

        disable = flush = enable


def top_level(function, signature, version: str = "compiled"):
    """Compile an entry point with an explicit signature, from the cache if its key matches. `version`: one of several
    for the same source."""
    if not COMPILED:
        return function
    dispatcher = njit(**_OPTIONS)(function)
    directory = cache_directory(function.__code__.co_filename)
    if directory is not None:
        dispatcher._cache = _Kept(directory / version)
    with _for_the_engine(function.__name__):
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


@contextmanager
def _for_the_engine(name: str):
    """Three changes to Numba while the engine is compiled, made under its compiler lock and undone afterwards. Numba
    has options for none of them; should a version not have what is changed here, only speed is lost.

    Array accesses do without the code that lets a negative index count from the end, which the engine never uses.
    (Measured: a quarter more instructions per second, a seventh less compile time.) And only the entry point, into
    which all helpers are linked, is optimised, not each helper on its own before. (Measured: a sixth less compile time,
    the same speed.) Numba looks up its compile options in dictionaries and compares all of them each time, 200,000
    times: what is set is compared first.
    """
    plain_index = getattr(arrayobj, "fix_integer_index", None)
    library = getattr(codegen, "CPUCodeLibrary", None)
    plain_optimize = getattr(library, "_optimize_final_module", None)

    def fix_integer_index(context, builder, idxty, idx, size):
        return context.cast(builder, idx, idxty, types.intp if idxty.signed else types.uintp)

    def optimize_final_module(self):
        if name in self.name:
            plain_optimize(self)

    flags = getattr(targetconfig, "TargetConfig", None)
    plain_equal, plain_hash = getattr(flags, "__eq__", None), getattr(flags, "__hash__", None)

    def equal(self, other):
        if self is other or type(self) is type(other) and self._values == other._values:
            return True
        return plain_equal(self, other)

    with global_compiler_lock:
        if flags is not None:
            flags.__eq__, flags.__hash__ = equal, lambda self: hash(type(self))
        if plain_index is not None:
            arrayobj.fix_integer_index = fix_integer_index
        if plain_optimize is not None:
            library._optimize_final_module = optimize_final_module
        try:
            yield
        finally:
            if flags is not None:
                flags.__eq__, flags.__hash__ = plain_equal, plain_hash
            if plain_index is not None:
                arrayobj.fix_integer_index = plain_index
            if plain_optimize is not None:
                library._optimize_final_module = plain_optimize
