"""Types that the kernels work on: a row in registers, and the width that is known beforehand.

A row of a C-contiguous array (rows, width), its width known when the kernel is compiled, is a few
values of LLVM's vector type, its pieces, whose lengths are powers of two: 16 floats are one AVX-512
register, two of AVX2, four of NEON, and 24 are 16 and 8. LLVM splits a long piece as the processor
needs; lengths between, it would pad, and load lane by lane.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel.models import OpaqueModel, PrimitiveModel
from numba.core.extending import NativeValue, register_model, typeof_impl, unbox
from numba.np.arrayobj import make_array

FLAGS = ("reassoc", "contract")


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
    names = ("vectors", "lanes", "tiles", "blocks", "kernels", "decoder_kernels")
    files = [Path(__file__).with_name(f"{name}.py") for name in names]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


class VecType(types.Type):
    """One row in registers."""

    def __init__(self, dtype: types.Float, width: int) -> None:
        self.dtype, self.width = dtype, width
        super().__init__(name=f"Vec({dtype}, {width})")


def pieces(width: int) -> list[int]:
    """The powers of two that add up to a width, largest first."""
    return [1 << bit for bit in reversed(range(width.bit_length())) if width >> bit & 1]


def ir_vec(kind: Any) -> ir.Type:
    """LLVM's type of a row."""
    scalar = ir.DoubleType() if kind.dtype.bitwidth == 64 else ir.FloatType()
    return ir.LiteralStructType([ir.VectorType(scalar, count) for count in pieces(kind.width)])


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


def element_bytes(array: Any) -> int:
    """Bytes of an element of an array's type."""
    return int(array.dtype.bitwidth) // 8


# -- code generation ---------------------------------------------------------------------------


def row_of(context: Any, builder: Any, kind: Any, array: Any, row: Any, width: int) -> Any:
    """Pointer to the first element of a row."""
    data = make_array(kind)(context, builder, array).data
    return builder.gep(data, [builder.mul(row, ir.Constant(row.type, width))])


def pieces_at(builder: Any, pointer: Any, width: int) -> Iterator[tuple[int, int, Any]]:
    """Of each piece of the row at a pointer: its first element, its length and its pointer."""
    start = 0
    for count in pieces(width):
        yield start, count, builder.gep(pointer, [ir.Constant(ir.IntType(64), start)])
        start += count


def read(builder: Any, pointer: Any, vec: ir.Type, align: int) -> Any:
    """The piece at a pointer."""
    return builder.load(builder.bitcast(pointer, vec.as_pointer()), align=align)


def write(builder: Any, value: Any, pointer: Any, align: int) -> Any:
    """Store a piece at a pointer."""
    return builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


def joined(builder: Any, parts: list[Any]) -> Any:
    """A row of its pieces."""
    row = ir.Constant(ir.LiteralStructType([part.type for part in parts]), ir.Undefined)
    for i, part in enumerate(parts):
        row = builder.insert_value(row, part, i)
    return row


def split(builder: Any, row: Any) -> list[Any]:
    """The pieces of a row."""
    return [builder.extract_value(row, i) for i in range(len(row.type.elements))]


def each(builder: Any, apply: Callable[..., Any], *rows: Any) -> Any:
    """The row that `apply` makes of the pieces of some rows."""
    together = zip(*(split(builder, row) for row in rows), strict=True)
    return joined(builder, [apply(*parts) for parts in together])


def splat(builder: Any, scalar: Any, row: ir.Type) -> Any:
    """The scalar in every lane of a row."""
    return joined(builder, [_piece_of(builder, scalar, vec) for vec in row.elements])


def _piece_of(builder: Any, scalar: Any, vec: Any) -> Any:
    first = builder.insert_element(
        ir.Constant(vec, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vec.count), None)
    return builder.shuffle_vector(first, ir.Constant(vec, ir.Undefined), zeros)


def multiplied_add(builder: Any, total: Any, scalar: Any, row: Any) -> Any:
    """The row `total + scalar * row`."""
    product = each(
        builder,
        lambda left, right: builder.fmul(left, right, flags=FLAGS),
        splat(builder, scalar, row.type),
        row,
    )
    return each(builder, lambda left, right: builder.fadd(left, right, flags=FLAGS), total, product)


def accumulate(builder: Any, array: Any, pointer: Any, row: Any, width: int) -> None:
    """Add a row to that at the pointer, in the precision of the array."""
    scalar = ir.DoubleType() if array.dtype.bitwidth == 64 else ir.FloatType()
    placed = zip(pieces_at(builder, pointer, width), split(builder, row), strict=True)
    for (_, count, place), value in placed:
        wide = ir.VectorType(scalar, count)
        added = value if value.type == wide else builder.fpext(value, wide)
        old = read(builder, place, wide, element_bytes(array))
        write(builder, builder.fadd(old, added), place, element_bytes(array))


def widened(builder: Any, value: Any) -> Any:
    """float32 of the bits of bfloat16, of a piece."""
    count = value.type.count
    wide = integers(32, count)
    bits = builder.shl(builder.zext(value, wide), _all(wide, 16))
    return builder.bitcast(bits, ir.VectorType(ir.FloatType(), count))


def narrowed(builder: Any, value: Any) -> Any:
    """The bits of the bfloat16 nearest to float32, of a piece; NaN stays NaN."""
    wide = integers(32, value.type.count)
    bits = builder.bitcast(value, wide)
    odd = builder.and_(builder.lshr(bits, _all(wide, 16)), _all(wide, 1))
    rounded = builder.add(builder.add(bits, odd), _all(wide, 0x7FFF))
    no_number = builder.fcmp_unordered("uno", value, value)
    kept = builder.select(no_number, _all(wide, 0x7FC00000), rounded)
    return builder.trunc(builder.lshr(kept, _all(wide, 16)), integers(16, value.type.count))


def integers(bits: int, count: int) -> ir.Type:
    """LLVM's type of a piece of integers."""
    return ir.VectorType(ir.IntType(bits), count)


def _all(vec: ir.Type, value: int) -> ir.Constant:
    return ir.Constant(vec, [value] * vec.count)
