"""What all parameter models share: frozen, strict, and recorded so that versions last."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of all parameter models: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    later: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after the first artifacts; their defaults are what was done before."""

    def recorded(self) -> dict[str, Any]:
        """All parameters as a manifest keeps them, later ones only where they are used.

        So what was made before a field came keeps its version. Read back, what is left out has its
        default.
        """
        params: dict[str, Any] = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Settings):
                params[name] = value.recorded()
            elif name in self.later and value == field.default:
                del params[name]
        return params
