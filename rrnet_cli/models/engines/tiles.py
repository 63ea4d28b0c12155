"""Tiles: some rows that stay in registers while a loop adds to them, the heart of a product."""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba.core import types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.extending import register_model

from rrnet_cli.models.engines.lanes import intrinsic
from rrnet_cli.models.engines.vectors import accumulate, ir_vec, multiplied_add, pieces, row_of

_ROWS = 8
# Floats of a register, and half of the registers; the other half is for what a tile is made of.
_LANES, _REGISTERS = (16, 16) if binding.get_host_cpu_features().get("avx512f") else (8, 8)


class TileType(types.Type):
    """Some rows in registers."""

    def __init__(self, dtype: types.Float, width: int) -> None:
        self.dtype, self.width, self.rows = dtype, width, tile_rows(width)
        super().__init__(name=f"Tile({dtype}, {width}, {self.rows})")


def tile_rows(width: int) -> int:
    """How many rows of a width are kept in registers together."""
    registers = sum(max(1, count // _LANES) for count in pieces(width))
    return max(1, min(_ROWS, _REGISTERS // registers))


@register_model(TileType)
class _TileModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: TileType) -> None:
        super().__init__(manager, kind, ir.ArrayType(ir_vec(kind), kind.rows))


@intrinsic
def tile_zeros(typingctx: Any, lanes: Any, like: Any) -> Any:
    """A tile of zeros, of the element type of the array `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vec = ir_vec(sig.return_type)
        return ir.Constant(ir.ArrayType(vec, sig.return_type.rows), None)

    return TileType(like.dtype, lanes.width)(lanes, like), codegen


@intrinsic
def tile_axpy(typingctx: Any, tile: Any, array: Any, start: Any, step: Any, vec: Any) -> Any:
    """Row r of the tile plus `array.flat[start + r * step] * vec`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, place, step, row = args[0], args[2], args[3], args[4]
        for r in range(tile.rows):
            scalar = builder.load(row_of(context, builder, array, args[1], place, 1))
            added = multiplied_add(builder, builder.extract_value(value, r), scalar, row)
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
            pointer = row_of(context, builder, array, args[0], place, tile.width)
            accumulate(builder, array, pointer, builder.extract_value(args[2], r), tile.width)
        return context.get_dummy_value()

    return types.none(array, types.intp, tile), codegen


@intrinsic
def rows_of_tile(typingctx: Any, lanes: Any) -> Any:
    """Number of rows of a tile of this width, a constant."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(ir.IntType(64), tile_rows(lanes.width))

    return types.intp(lanes), codegen
