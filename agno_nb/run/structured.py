"""Answers that must be an object: what the model is asked for, and whether it gave it."""

from __future__ import annotations

import json
import re
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agno_nb.errors import InvalidInputError
from agno_nb.types import JsonDict

if TYPE_CHECKING:
    from pydantic import BaseModel


class OutputSchema:
    """A pydantic model or a JSON schema that an answer must follow.

    Parameters
    ----------
    given : type of BaseModel or dict
    """

    def __init__(self, given: type[BaseModel] | JsonDict) -> None:
        from pydantic import BaseModel

        self._model = given if isinstance(given, type) and issubclass(given, BaseModel) else None
        if self._model is None and not isinstance(given, dict):
            raise InvalidInputError(f"output_schema must be a pydantic model or a JSON schema, not {given!r}")
        self.json_schema: JsonDict = self._model.model_json_schema() if self._model else given  # type: ignore[assignment]
        name = self._model.__name__ if self._model else str(self.json_schema.get("title", "answer"))
        self.name = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "answer"
        if self._model is None and "jsonschema" not in sys.modules:
            # Where JupyterLab is installed, too, importing it takes a second or two: meanwhile the model is asked.
            threading.Thread(target=import_module, args=("jsonschema",), name="agno_nb-jsonschema", daemon=True).start()

    def parse(self, text: str) -> Any:
        """Return the object that `text` says, with or without a code fence around it.

        Raises
        ------
        ValueError
            It says none, or not one of this schema. The message tells a model what is wrong.
        """
        from pydantic import ValidationError

        fenced = _FENCE.search(text)
        bare = fenced[1] if fenced else text.strip()
        if self._model is not None:
            try:
                return self._model.model_validate_json(bare)
            except ValidationError as error:
                lines = [f"- {_place(one['loc'])}: {one['msg']}" for one in error.errors(include_url=False)]
                raise ValueError("\n".join(lines)) from None
        value = json.loads(bare)
        import jsonschema

        validator = jsonschema.validators.validator_for(self.json_schema)(self.json_schema)
        wrong = [f"- {_place(error.absolute_path)}: {error.message}" for error in validator.iter_errors(value)]
        if wrong:
            raise ValueError("\n".join(wrong))
        return value


def _place(path: Any) -> str:
    return ".".join(str(part) for part in path) or "answer"


_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n\s*```\s*$", re.DOTALL)


def correction(problem: str) -> str:
    """Write to a model what was wrong with its answer."""
    return (
        f"That answer does not have the form that was asked for:\n{problem}\n"
        "Answer again with the corrected JSON and nothing else."
    )
