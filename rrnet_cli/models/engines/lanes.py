"""Rows as vector registers: what numba's own loops do not reliably become.

A row of a C-contiguous array (rows, width), its width known when the kernel is compiled, is one
value of LLVM's vector type: 16 floats are one AVX-512 register, two of AVX2, four of NEON; LLVM
splits and pads as the processor needs, so any width works.

An array of uint16 holds bfloat16: its rows are float32 in registers, and are rounded to nearest,
ties to even, when they are written by `stream`.

Sums may be reassociated and contracted to fused multiply-adds. NaN and infinity keep their
meaning, as numba's `fastmath=True` would not have it: a loss that diverged must be seen.
"""

from __future__ import annotations

import math
import operator
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba.core import extending, types
from numba.core.datamodel.models import OpaqueModel, PrimitiveModel
from numba.core.extending import (
    NativeValue,
    overload,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np.arrayobj import make_array

intrinsic: Any = extending.intrinsic  # its annotations know nothing of the hidden first argument
FLAGS = ("reassoc", "contract")
_LINE = 64  # bytes of a cache line, where that is not known


class Lanes:
    """The width of the rows that a kernel works on; an argument whose type says it all."""

    def __init__(self, width: int) -> None:
        self.width = width


class LanesType(types.Type):
    """Type of `Lanes`: one for each width, and for each state of the code that it stands for.

    numba's cache of compiled kernels looks at the file of a kernel alone, so what the kernel calls
    in other files would go on as it was compiled once; as part of the type, and so of the
    signature, the digest of all files makes a new entry. By it `compiled` also knows old code.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Lanes({width}, {_revision():08x})")


@lru_cache(maxsize=1)
def _revision() -> int:
    names = ("lanes", "tiles", "blocks", "kernels", "decoder_kernels")
    files = [Path(__file__).with_name(f"{name}.py") for name in names]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


class VecType(types.Type):
    """One row in registers."""

    def __init__(self, dtype: types.Float, width: int) -> None:
        self.dtype, self.width = dtype, width
        super().__init__(name=f"Vec({dtype}, {width})")


def ir_vec(kind: Any) -> ir.Type:
    """LLVM's type of a row."""
    scalar = ir.DoubleType() if kind.dtype.bitwidth == 64 else ir.FloatType()
    return ir.VectorType(scalar, kind.width)


@register_model(LanesType)
class _LanesModel(OpaqueModel):
    """Nothing at run time."""


@register_model(VecType)
class _VecModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: VecType) -> None:
        super().__init__(manager, kind, ir_vec(kind))


@typeof_impl.register(Lanes)
def _typeof_lanes(value: Lanes, _: object) -> LanesType:
    return LanesType(value.width)


@unbox(LanesType)
def _unbox_lanes(_kind: LanesType, _value: object, c: Any) -> NativeValue:
    return NativeValue(c.context.get_dummy_value())


# -- code generation ---------------------------------------------------------------------------


def row_of(context: Any, builder: Any, kind: Any, array: Any, row: Any, width: int) -> Any:
    """Pointer to the first element of a row."""
    data = make_array(kind)(context, builder, array).data
    return builder.gep(data, [builder.mul(row, ir.Constant(row.type, width))])


def _read(builder: Any, pointer: Any, vec: ir.Type, align: int) -> Any:
    return builder.load(builder.bitcast(pointer, vec.as_pointer()), align=align)


def _write(builder: Any, value: Any, pointer: Any, align: int) -> Any:
    return builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


def _integers(bits: int, count: int) -> ir.Type:
    return ir.VectorType(ir.IntType(bits), count)


def _widened(builder: Any, value: Any, vec: ir.Type) -> Any:
    """float32 of the bits of bfloat16."""
    wide = _integers(32, vec.count)
    return builder.bitcast(builder.shl(builder.zext(value, wide), _all(wide, 16)), vec)


def _narrowed(builder: Any, value: Any) -> Any:
    """The bits of the bfloat16 nearest to float32; NaN stays NaN."""
    wide = _integers(32, value.type.count)
    bits = builder.bitcast(value, wide)
    odd = builder.and_(builder.lshr(bits, _all(wide, 16)), _all(wide, 1))
    rounded = builder.add(builder.add(bits, odd), _all(wide, 0x7FFF))
    no_number = builder.fcmp_unordered("uno", value, value)
    kept = builder.select(no_number, _all(wide, 0x7FC00000), rounded)
    return builder.trunc(builder.lshr(kept, _all(wide, 16)), _integers(16, value.type.count))


def _all(vec: ir.Type, value: int) -> ir.Constant:
    return ir.Constant(vec, [value] * vec.count)


def _is_narrow(array: Any) -> bool:
    return bool(array.dtype == types.uint16)


def element(array: Any) -> Any:
    """Type of an array's elements in registers."""
    return types.float32 if _is_narrow(array) else array.dtype


def splat(builder: Any, scalar: Any, vec: Any) -> Any:
    """The scalar in every lane."""
    first = builder.insert_element(
        ir.Constant(vec, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vec.count), None)
    return builder.shuffle_vector(first, ir.Constant(vec, ir.Undefined), zeros)


def _bytes(kind: Any) -> int:
    return int(kind.dtype.bitwidth) // 8


@intrinsic
def load(typingctx: Any, lanes: Any, array: Any, row: Any) -> Any:
    """`array[row]`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = row_of(context, builder, array, args[1], args[2], lanes.width)
        vec = ir_vec(sig.return_type)
        if not _is_narrow(array):
            return _read(builder, pointer, vec, _bytes(array))
        bits = _read(builder, pointer, _integers(16, lanes.width), _bytes(array))
        return _widened(builder, bits, vec)

    return VecType(element(array), lanes.width)(lanes, array, types.intp), codegen


@intrinsic
def store(typingctx: Any, array: Any, row: Any, vec: Any) -> Any:
    """`array[row] = vec`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = row_of(context, builder, array, args[0], args[1], vec.width)
        _write(builder, args[2], pointer, _bytes(array))
        return context.get_dummy_value()

    return types.none(array, types.intp, vec), codegen


@intrinsic
def stream(typingctx: Any, array: Any, row: Any, vec: Any) -> Any:
    """`array[row] = vec`, past the caches: for what is not read again soon.

    The array begins at a cache line, as all new tensors of torch do. Follow by `streamed`.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = row_of(context, builder, array, args[0], args[1], vec.width)
        value = _narrowed(builder, args[2]) if _is_narrow(array) else args[2]
        stored = _write(builder, value, pointer, math.gcd(vec.width * _bytes(array), _LINE))
        one = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        stored.set_metadata("nontemporal", one)
        return context.get_dummy_value()

    return types.none(array, types.intp, vec), codegen


@intrinsic
def streamed(typingctx: Any) -> Any:
    """What was streamed can be read by other threads."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic
def prefetch(typingctx: Any, lanes: Any, array: Any, row: Any) -> Any:
    """Ask for `array[row]` to be brought to the first-level cache; nothing waits for it."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bytes_, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [bytes_, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [bytes_], kind)
        pointer = row_of(context, builder, array, args[1], args[2], lanes.width)
        start = builder.bitcast(pointer, bytes_)
        how = [ir.Constant(number, value) for value in (0, 3, 1)]  # to read, to keep, data
        for line in range(0, lanes.width * _bytes(array), _LINE):
            builder.call(ask, [builder.gep(start, [ir.Constant(ir.IntType(64), line)]), *how])
        return context.get_dummy_value()

    return types.none(lanes, array, types.intp), codegen


@intrinsic
def add_to(typingctx: Any, array: Any, row: Any, vec: Any) -> Any:
    """`array[row] += vec`, in the precision of the array."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = row_of(context, builder, array, args[0], args[1], vec.width)
        accumulate(builder, array, pointer, args[2])
        return context.get_dummy_value()

    return types.none(array, types.intp, vec), codegen


def accumulate(builder: Any, array: Any, pointer: Any, value: Any) -> None:
    """Add to what is at the pointer, in the precision of the array."""
    scalar = ir.DoubleType() if array.dtype.bitwidth == 64 else ir.FloatType()
    wide = ir.VectorType(scalar, value.type.count)
    if value.type != wide:
        value = builder.fpext(value, wide)
    old = _read(builder, pointer, wide, _bytes(array))
    _write(builder, builder.fadd(old, value), pointer, _bytes(array))


@intrinsic
def spread(typingctx: Any, lanes: Any, array: Any, index: Any) -> Any:
    """A vector of `array.flat[index]` in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = row_of(context, builder, array, args[1], args[2], 1)
        return splat(builder, builder.load(pointer), ir_vec(sig.return_type))

    return VecType(array.dtype, lanes.width)(lanes, array, types.intp), codegen


@intrinsic
def fill(typingctx: Any, value: Any, like: Any) -> Any:
    """A vector of the scalar `value` in every lane, of the type of the vector `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return splat(builder, args[0], ir_vec(like))

    return like(like.dtype, like), codegen


@intrinsic
def relu(typingctx: Any, vec: Any) -> Any:
    """`max(vec, 0)`; NaN stays NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_ordered("<", args[0], zero), zero, args[0])

    return vec(vec), codegen


@intrinsic
def where_positive(typingctx: Any, condition: Any, vec: Any) -> Any:
    """`vec` where `condition` > 0, else 0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(args[1].type, None)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[1], zero)

    return vec(condition, vec), codegen


@intrinsic
def total(typingctx: Any, vec: Any) -> Any:
    """The sum of all lanes, a scalar."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        scalar = args[0].type.element
        name = f"llvm.vector.reduce.fadd.v{vec.width}f{vec.dtype.bitwidth}"
        kind = ir.FunctionType(scalar, [scalar, args[0].type])
        function = builder.module.declare_intrinsic(name, fnty=kind)
        return builder.call(function, [ir.Constant(scalar, 0.0), args[0]], fastmath=FLAGS)

    return vec.dtype(vec), codegen


def _arithmetic(name: str) -> Any:
    @intrinsic
    def both(typingctx: Any, left: Any, right: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return getattr(builder, name)(*args, flags=FLAGS)

        return left(left, right), codegen

    def apply(left: Any, right: Any) -> Any:
        return both(left, right)

    def pick(left: Any, right: Any) -> Any:
        return apply if isinstance(left, VecType) and left == right else None

    return pick


overload(operator.add)(_arithmetic("fadd"))
overload(operator.mul)(_arithmetic("fmul"))


@intrinsic
def width_of(typingctx: Any, lanes: Any) -> Any:
    """The width, a constant."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(ir.IntType(64), lanes.width)

    return types.intp(lanes), codegen
