"""What all parameter models share: frozen, strict, and recorded so that versions last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of all parameter models: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    later: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after the first artifacts; their defaults are what was done before."""

    retired: ClassVar[Mapping[str, object]] = {}
    """Fields that are gone, each at the value that says what is done without it."""

    def recorded(self) -> dict[str, Any]:
        """All parameters as a manifest keeps them, later ones only where they are used.

        So what was made before a field came keeps its version, and so does what was made without
        a field that is gone. `from_record` reads it back.
        """
        params: dict[str, Any] = {**self.model_dump(mode="json"), **self.retired}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Settings):
                params[name] = value.recorded()
            elif name in self.later and value == field.default:
                del params[name]
        return params

    @classmethod
    def from_record(cls, params: Mapping[str, Any]) -> Self:
        """The settings that a manifest keeps; what it leaves out has its default.

        Raises:
            ValidationError: They are no settings of this version, or used a field that is gone.
        """
        gone = cls.retired
        kept = {k: v for k, v in params.items() if k not in gone or v != gone[k]}
        return cls.model_validate(kept)
