"""What kernels do to a row in registers, which numba's own loops do not reliably become.

An array of uint16 holds bfloat16: its rows are float32 in registers, and are rounded to nearest,
ties to even, when they are written by `stream`.

Sums may be reassociated and contracted to fused multiply-adds. NaN and infinity keep their
meaning, as numba's `fastmath=True` would not have it: a loss that diverged must be seen.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from llvmlite import ir
from numba.core import extending, types
from numba.core.extending import overload

from rrnet_cli.models.engines.vectors import (
    FLAGS,
    VecType,
    accumulate,
    each,
    element_bytes,
    integers,
    ir_vec,
    joined,
    narrowed,
    pieces_at,
    read,
    row_of,
    splat,
    split,
    widened,
    write,
)

intrinsic: Any = extending.intrinsic  # its annotations know nothing of the hidden first argument
_LINE = 64  # bytes of a cache line, where that is not known


def _is_narrow(array: Any) -> bool:
    return bool(array.dtype == types.uint16)


@intrinsic
def load(typingctx: Any, lanes: Any, array: Any, row: Any) -> Any:
    """`array[row]`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = row_of(context, builder, array, args[1], args[2], lanes.width)
        scalar = ir_vec(sig.return_type).elements[0].element
        parts, align = [], element_bytes(array)
        for _, count, place in pieces_at(builder, pointer, lanes.width):
            if _is_narrow(array):
                parts.append(widened(builder, read(builder, place, integers(16, count), align)))
            else:
                parts.append(read(builder, place, ir.VectorType(scalar, count), align))
        return joined(builder, parts)

    dtype = types.float32 if _is_narrow(array) else array.dtype
    return VecType(dtype, lanes.width)(lanes, array, types.intp), codegen


@intrinsic
def store(typingctx: Any, array: Any, row: Any, vec: Any) -> Any:
    """`array[row] = vec`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = row_of(context, builder, array, args[0], args[1], vec.width)
        placed = zip(pieces_at(builder, pointer, vec.width), split(builder, args[2]), strict=True)
        for (_, _, place), value in placed:
            write(builder, value, place, element_bytes(array))
        return context.get_dummy_value()

    return types.none(array, types.intp, vec), codegen


@intrinsic
def stream(typingctx: Any, array: Any, row: Any, vec: Any) -> Any:
    """`array[row] = vec`, past the caches: for what is not read again soon.

    The array begins at a cache line, as all new tensors of torch do. Follow by `streamed`.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = row_of(context, builder, array, args[0], args[1], vec.width)
        one = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        placed = zip(pieces_at(builder, pointer, vec.width), split(builder, args[2]), strict=True)
        for (start, _, place), value in placed:
            align = math.gcd(vec.width * element_bytes(array), start * element_bytes(array), _LINE)
            bits = narrowed(builder, value) if _is_narrow(array) else value
            write(builder, bits, place, align).set_metadata("nontemporal", one)
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
        for line in range(0, lanes.width * element_bytes(array), _LINE):
            builder.call(ask, [builder.gep(start, [ir.Constant(ir.IntType(64), line)]), *how])
        return context.get_dummy_value()

    return types.none(lanes, array, types.intp), codegen


@intrinsic
def add_to(typingctx: Any, array: Any, row: Any, vec: Any) -> Any:
    """`array[row] += vec`, in the precision of the array."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = row_of(context, builder, array, args[0], args[1], vec.width)
        accumulate(builder, array, pointer, args[2], vec.width)
        return context.get_dummy_value()

    return types.none(array, types.intp, vec), codegen


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
        def apply(part: Any) -> Any:
            zero = ir.Constant(part.type, None)
            return builder.select(builder.fcmp_ordered("<", part, zero), zero, part)

        return each(builder, apply, args[0])

    return vec(vec), codegen


@intrinsic
def where_positive(typingctx: Any, condition: Any, vec: Any) -> Any:
    """`vec` where `condition` > 0, else 0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def apply(asked: Any, part: Any) -> Any:
            zero = ir.Constant(part.type, None)
            return builder.select(builder.fcmp_ordered(">", asked, zero), part, zero)

        return each(builder, apply, *args)

    return vec(condition, vec), codegen


@intrinsic
def total(typingctx: Any, vec: Any) -> Any:
    """The sum of all lanes, a scalar."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        sum_ = ir.Constant(args[0].type.elements[0].element, 0.0)
        for part in split(builder, args[0]):
            name = f"llvm.vector.reduce.fadd.v{part.type.count}f{vec.dtype.bitwidth}"
            kind = ir.FunctionType(sum_.type, [sum_.type, part.type])
            function = builder.module.declare_intrinsic(name, fnty=kind)
            sum_ = builder.call(function, [sum_, part], fastmath=FLAGS)
        return sum_

    return vec.dtype(vec), codegen


def _arithmetic(name: str) -> Any:
    @intrinsic
    def both(typingctx: Any, left: Any, right: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            apply = getattr(builder, name)
            return each(builder, lambda one, other: apply(one, other, flags=FLAGS), *args)

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
