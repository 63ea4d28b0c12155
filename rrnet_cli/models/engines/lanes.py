"""Rows as vector registers: what numba's own loops do not reliably become.

A row of a C-contiguous array (rows, width), its width known when the kernel is compiled, is one
value of LLVM's vector type: 16 floats are one AVX-512 register, two of AVX2, four of NEON; LLVM
splits and pads as the processor needs, so any width works. A `Tile` is a few such vectors that
stay in registers while a loop adds to them.

Sums may be reassociated and contracted to fused multiply-adds. NaN and infinity keep their
meaning, as numba's `fastmath=True` would not have it: a loss that diverged must be seen.
"""

from __future__ import annotations

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
_FLAGS = ("reassoc", "contract")
_TILE_LANES, _TILE_ROWS = 256, 8  # 16 registers of 16 lanes: half of AVX-512's


class Lanes:
    """The width of the rows that a kernel works on; an argument whose type says it all."""

    def __init__(self, width: int) -> None:
        self.width = width


class LanesType(types.Type):
    """Type of `Lanes`: one for each width, and for each state of the code that it stands for.

    numba's cache of compiled kernels looks at the file of a kernel alone, so what the kernel calls
    here and in `blocks` would go on as it was compiled once; as part of the type, and so of the
    signature, the digest of both files makes a new entry.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Lanes({width}, {_revision():08x})")


@lru_cache(maxsize=1)
def _revision() -> int:
    here = Path(__file__)
    return zlib.crc32(here.read_bytes() + here.with_name("blocks.py").read_bytes())


class VecType(types.Type):
    """One row in registers."""

    def __init__(self, dtype: types.Float, width: int) -> None:
        self.dtype, self.width = dtype, width
        super().__init__(name=f"Vec({dtype}, {width})")


class TileType(types.Type):
    """Some rows in registers."""

    def __init__(self, dtype: types.Float, width: int) -> None:
        self.dtype, self.width, self.rows = dtype, width, tile_rows(width)
        super().__init__(name=f"Tile({dtype}, {width}, {self.rows})")


def tile_rows(width: int) -> int:
    """How many rows of a width are kept in registers together."""
    return max(1, min(_TILE_ROWS, _TILE_LANES // width))


def _ir_vec(kind: Any) -> ir.Type:
    scalar = ir.DoubleType() if kind.dtype.bitwidth == 64 else ir.FloatType()
    return ir.VectorType(scalar, kind.width)


@register_model(LanesType)
class _LanesModel(OpaqueModel):
    """Nothing at run time."""


@register_model(VecType)
class _VecModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: VecType) -> None:
        super().__init__(manager, kind, _ir_vec(kind))


@register_model(TileType)
class _TileModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: TileType) -> None:
        super().__init__(manager, kind, ir.ArrayType(_ir_vec(kind), kind.rows))


@typeof_impl.register(Lanes)
def _typeof_lanes(value: Lanes, _: object) -> LanesType:
    return LanesType(value.width)


@unbox(LanesType)
def _unbox_lanes(_kind: LanesType, _value: object, c: Any) -> NativeValue:
    return NativeValue(c.context.get_dummy_value())


# -- code generation ---------------------------------------------------------------------------


def _row(context: Any, builder: Any, kind: Any, array: Any, row: Any, width: int) -> Any:
    """Pointer to the first element of a row."""
    data = make_array(kind)(context, builder, array).data
    return builder.gep(data, [builder.mul(row, ir.Constant(row.type, width))])


def _read(builder: Any, pointer: Any, vec: ir.Type, align: int) -> Any:
    return builder.load(builder.bitcast(pointer, vec.as_pointer()), align=align)


def _write(builder: Any, value: Any, pointer: Any, align: int) -> None:
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


def _splat(builder: Any, scalar: Any, vec: Any) -> Any:
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
        pointer = _row(context, builder, array, args[1], args[2], lanes.width)
        return _read(builder, pointer, _ir_vec(sig.return_type), _bytes(array))

    return VecType(array.dtype, lanes.width)(lanes, array, types.intp), codegen


@intrinsic
def load_bytes(typingctx: Any, lanes: Any, array: Any, row: Any, like: Any) -> Any:
    """`array[row]` of unsigned bytes as floats of the type of the vector `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _row(context, builder, array, args[1], args[2], lanes.width)
        value = _read(builder, pointer, ir.VectorType(ir.IntType(8), lanes.width), 1)
        return builder.uitofp(value, _ir_vec(like))

    return like(lanes, array, types.intp, like), codegen


@intrinsic
def store(typingctx: Any, array: Any, row: Any, vec: Any) -> Any:
    """`array[row] = vec`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _row(context, builder, array, args[0], args[1], vec.width)
        _write(builder, args[2], pointer, _bytes(array))
        return context.get_dummy_value()

    return types.none(array, types.intp, vec), codegen


@intrinsic
def add_to(typingctx: Any, array: Any, row: Any, vec: Any) -> Any:
    """`array[row] += vec`, in the precision of the array."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _row(context, builder, array, args[0], args[1], vec.width)
        _accumulate(builder, array, pointer, args[2])
        return context.get_dummy_value()

    return types.none(array, types.intp, vec), codegen


def _accumulate(builder: Any, array: Any, pointer: Any, value: Any) -> None:
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
        pointer = _row(context, builder, array, args[1], args[2], 1)
        return _splat(builder, builder.load(pointer), _ir_vec(sig.return_type))

    return VecType(array.dtype, lanes.width)(lanes, array, types.intp), codegen


@intrinsic
def fill(typingctx: Any, value: Any, like: Any) -> Any:
    """A vector of the scalar `value` in every lane, of the type of the vector `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _splat(builder, args[0], _ir_vec(like))

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
        return builder.call(function, [ir.Constant(scalar, 0.0), args[0]], fastmath=_FLAGS)

    return vec.dtype(vec), codegen


def _arithmetic(name: str) -> Any:
    @intrinsic
    def both(typingctx: Any, left: Any, right: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return getattr(builder, name)(*args, flags=_FLAGS)

        return left(left, right), codegen

    def apply(left: Any, right: Any) -> Any:
        return both(left, right)

    def pick(left: Any, right: Any) -> Any:
        return apply if isinstance(left, VecType) and left == right else None

    return pick


overload(operator.add)(_arithmetic("fadd"))
overload(operator.sub)(_arithmetic("fsub"))
overload(operator.mul)(_arithmetic("fmul"))


# -- tiles -------------------------------------------------------------------------------------


@intrinsic
def tile_zeros(typingctx: Any, lanes: Any, like: Any) -> Any:
    """A tile of zeros, of the element type of the array `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vec = _ir_vec(sig.return_type)
        return ir.Constant(ir.ArrayType(vec, sig.return_type.rows), None)

    return TileType(like.dtype, lanes.width)(lanes, like), codegen


@intrinsic
def tile_axpy(typingctx: Any, tile: Any, array: Any, start: Any, step: Any, vec: Any) -> Any:
    """Row r of the tile plus `array.flat[start + r * step] * vec`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, place, step, row = args[0], args[2], args[3], args[4]
        for r in range(tile.rows):
            scalar = builder.load(_row(context, builder, array, args[1], place, 1))
            term = builder.fmul(_splat(builder, scalar, row.type), row, flags=_FLAGS)
            added = builder.fadd(builder.extract_value(value, r), term, flags=_FLAGS)
            value = builder.insert_value(value, added, r)
            place = builder.add(place, step)
        return value

    return tile(tile, array, types.intp, types.intp, vec), codegen


@intrinsic
def tile_add_to(typingctx: Any, array: Any, row: Any, tile: Any) -> Any:
    """`array[row + r] += tile[r]` for each row of the tile, in the precision of the array."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for r in range(tile.rows):
            place = builder.add(args[1], ir.Constant(args[1].type, r))
            pointer = _row(context, builder, array, args[0], place, tile.width)
            _accumulate(builder, array, pointer, builder.extract_value(args[2], r))
        return context.get_dummy_value()

    return types.none(array, types.intp, tile), codegen


@intrinsic
def rows_of_tile(typingctx: Any, lanes: Any) -> Any:
    """Number of rows of a tile of this width, a constant."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(ir.IntType(64), tile_rows(lanes.width))

    return types.intp(lanes), codegen


@intrinsic
def width_of(typingctx: Any, lanes: Any) -> Any:
    """The width, a constant."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(ir.IntType(64), lanes.width)

    return types.intp(lanes), codegen
