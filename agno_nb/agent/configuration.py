"""Models among the settings that are saved as a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from agno_nb.errors import InvalidInputError
from agno_nb.models.base import Model
from agno_nb.models.model_strings import model_string
from agno_nb.models.resolve import resolve_model
from agno_nb.run.configuration import Configuration
from agno_nb.types import JsonDict


class ModelConfiguration(Configuration):
    """Methods that write and read the settings of an agent or a team, with the settings of its models."""

    @staticmethod
    def _described(value: Any) -> JsonDict | None:
        if not isinstance(value, Model):
            return None
        known = value.to_dict()
        settings = {name: known[name] for name in known.keys() - {"id", "provider", "endpoint", "extra_body"}}
        return {"model": model_string(value), **settings}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], **settings: Any) -> Self:
        """Create an agent or a team from a dict of :meth:`to_dict`, with the settings that it leaves out.

        Raises
        ------
        UnknownArgumentError
            A name is not a setting.
        InvalidInputError
            The model is not known, or has no setting of a name. Its key and its functions are not settings.
        """
        values = {**config, **settings}
        if isinstance(described := values.get("model"), Mapping):
            model = resolve_model(str(described.get("model")))
            known = (*getattr(model, "sampling", ()), model.output_limit_name)
            for name, value in described.items():
                if name != "model":
                    if name not in known or not hasattr(model, name):
                        raise InvalidInputError(
                            f"{model!r} has no setting {name!r} for a dict; it has {', '.join(known)}"
                        )
                    setattr(model, name, value)
            values["model"] = model
        return super().from_dict(values)
