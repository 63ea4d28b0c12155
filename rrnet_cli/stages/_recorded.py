"""Settings as a manifest keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from rrnet_cli.base_settings import Settings
from rrnet_cli.errors import ArtifactFormatError

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact

Kind = TypeVar("Kind", bound=Settings)


def settings_of(
    artifact: Artifact, kind: type[Kind], params: Mapping[str, Any] | None = None
) -> Kind:
    """What an artifact was made with.

    Args:
        artifact: Names itself in the message.
        kind: Of its stage.
        params: Those of the artifact's manifest, unless some are no settings.

    Raises:
        ArtifactFormatError: This version of rrnet cannot read them.
    """
    try:
        return kind.from_record(artifact.manifest.params if params is None else params)
    except ValidationError as error:
        names = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise ArtifactFormatError(
            f"{artifact.ref} was made with settings that this version of rrnet reads otherwise "
            f"or has no more: {names}",
            "make it again with this version",
        ) from error
