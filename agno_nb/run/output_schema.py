"""Structured output: schemas of answers, parsing and validation."""

from __future__ import annotations

import json
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import unquote

from agno_nb._keywords import nearest
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable
from agno_nb.types import JsonDict, RunOutput, find_json, import_jsonschema

if TYPE_CHECKING:
    from pydantic import BaseModel


_MAX_CANDIDATES = 100
"""Number of objects in an answer that are validated, the last ones."""


class OutputSchema:
    """A pydantic model or a JSON schema that an answer must follow.

    Parameters
    ----------
    schema : type of BaseModel or dict

    Raises
    ------
    InvalidInputError
        The schema is neither, or it cannot be expressed as a JSON schema.
    """

    def __init__(self, schema: type[BaseModel] | JsonDict) -> None:
        from pydantic import BaseModel

        self._model = schema if isinstance(schema, type) and issubclass(schema, BaseModel) else None
        if self._model is None and not isinstance(schema, dict):
            raise InvalidInputError(f"output_schema must be a pydantic model or a JSON schema, not {schema!r}")
        self.json_schema: JsonDict
        if self._model is not None:
            name, self.json_schema = self._model.__name__, _describe_model(self._model)
        else:
            name, self.json_schema = _unwrap(schema)  # type: ignore[arg-type]
            check_json_schema(self.json_schema, "output_schema")
        self.name = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "answer"
        if self._model is None and "jsonschema" not in sys.modules:
            # It takes a tenth of a second, which overlaps with the model request.
            threading.Thread(target=import_jsonschema, name="agno_nb-jsonschema", daemon=True).start()

    @property
    def content_type(self) -> str:
        """The `content_type` of runs with such an answer: the name of the pydantic model, or "dict"."""
        return self.name if self._model is not None else "dict"

    @property
    def noun(self) -> str:
        """What an answer is that matches the schema, in words."""
        return "a JSON object" if self.json_schema == {"type": "object"} else f"a valid {self.name}"

    def parse(self, text: str) -> Any:
        """Return the object in `text`, which may have other text around it.

        Of several objects that match the schema, the last one is returned.

        Raises
        ------
        ValueError
            The text has no JSON or none that matches the schema. The message is for the model.
        """
        problems: dict[str, ValueError] = {}
        candidates = [found.text for found in find_json(text)][-_MAX_CANDIDATES:]
        for candidate in (text.strip(), *reversed(candidates)):
            try:
                return self._parsed(candidate)
            except RecursionError:
                problems[candidate] = ValueError("the JSON is nested too deeply")
            except ValueError as error:
                problems[candidate] = error
        # The longest object is what the model meant.
        raise problems[max(candidates or problems, key=len)]

    def _parsed(self, text: str) -> Any:
        if self._model is not None:
            return self._validate(text)
        value = json.loads(text)
        validator = import_jsonschema().validators.validator_for(self.json_schema)(self.json_schema)
        wrong = [f"- {_place(error.absolute_path)}: {error.message}" for error in validator.iter_errors(value)]
        if wrong:
            raise ValueError("\n".join(wrong))
        return value

    def revalidate(self, content: Any) -> Any:
        """Return the object that was stored as `content`.

        Raises
        ------
        ValueError
            The content no longer matches the schema.
        """
        if self._model is None or isinstance(content, self._model):
            return content
        # Stored under the names of the fields, whereas models answer with their aliases.
        return self._validate(json.dumps(content), by_name=True)

    def _validate(self, text: str, *, by_name: bool | None = None) -> Any:
        from pydantic import ValidationError

        assert self._model is not None
        try:
            return self._model.model_validate_json(text, by_name=by_name)
        except ValidationError as error:
            lines = [f"- {_place(one['loc'])}: {one['msg']}" for one in error.errors(include_url=False)]
            raise ValueError("\n".join(lines)) from None


def _describe_model(model: type[BaseModel]) -> JsonDict:
    from pydantic import PydanticUserError

    try:
        return model.model_json_schema()
    except (PydanticUserError, AttributeError) as error:
        place, reason = _find_undescribable(model), str(error).partition("\n")[0]
        raise InvalidInputError(
            f"output_schema is {model.__name__}, and {place} cannot be described to a model ({reason}); use text, "
            "numbers, lists, dicts and pydantic models"
        ) from None


def _find_undescribable(model: type[BaseModel]) -> str:
    """Name the field that has no JSON schema, in the model itself or in one of its fields."""
    from pydantic import BaseModel, PydanticUserError, TypeAdapter

    for name, field in model.model_fields.items():
        try:
            TypeAdapter[Any](field.annotation or Any).json_schema()
        except PydanticUserError:
            nested = [each for each in (field.annotation, *get_args(field.annotation)) if isinstance(each, type)]
            inner = next((each for each in nested if issubclass(each, BaseModel) and each is not model), None)
            return _find_undescribable(inner) if inner is not None else f"the field {model.__name__}.{name}"
    return "it"


def _unwrap(schema_setting: JsonDict) -> tuple[str, JsonDict]:
    """Return the name and the JSON schema of a schema setting.

    It may have the format of a `response_format` of OpenAI's Chat Completions, with `json_schema`, or of Responses,
    without.
    """
    whole = schema_setting
    if schema_setting.get("type") == "json_schema":
        schema_setting = schema_setting.get("json_schema", schema_setting)
        schema = schema_setting.get("schema") if isinstance(schema_setting, dict) else None
        if not isinstance(schema, dict):
            raise InvalidInputError(f"output_schema {whole!r} has no JSON schema under the key 'schema'")
        return str(schema_setting.get("name") or schema.get("title", "answer")), schema
    return str(schema_setting.get("title", "answer")), schema_setting


def restore_typed_outputs(schemas: Mapping[str, OutputSchema], runs: Iterable[RunOutput]) -> None:
    """Convert the content of stored runs and their nested runs back to objects of their schemas.

    Content that no longer matches its schema stays a dict, with a warning.

    Parameters
    ----------
    schemas : mapping
        Schemas by name, which is the `content_type` of runs.
    """
    if not schemas:
        return
    failures: dict[str, str] = {}
    all_runs = list(_walk_runs(runs))
    for run in all_runs:
        if run.content is not None and run.content_type in schemas:
            try:
                run.content = schemas[run.content_type].revalidate(run.content)
            except ValueError as error:
                failures[run.run_id] = f"run {run.run_id!r} as {run.content_type}:\n{error}"
    for run in all_runs:
        nested = {each.run_id: each for each in run.nested_runs if each.content_type in schemas}
        for step in run.step_results:
            if step.run_id in nested and not isinstance(step.content, str):
                step.content = nested[step.run_id].content
    if failures:
        first, others = next(iter(failures.values())), len(failures) - 1
        more = f"\n{others} more runs have the same problem." if others else ""
        warnings.warn(
            displayable(f"cannot restore the content, a dict is returned instead, of {first}{more}"), stacklevel=4
        )


def _walk_runs(runs: Iterable[RunOutput]) -> Iterator[RunOutput]:
    for run in runs:
        yield run
        yield from _walk_runs(run.nested_runs)


def _place(path: Any) -> str:
    return ".".join(str(part) for part in path) or "answer"


def correction(problem: str) -> str:
    """Return the message that asks the model to correct its answer."""
    return (
        f"That answer does not have the form that was asked for:\n{problem}\n"
        "Answer again with the corrected JSON and nothing else."
    )


_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_PYTHON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array"}
_PYTHON_TYPES |= {"tuple": "array", "dict": "object", "None": "null", "text": "string"}

# Keywords of JSON Schema by their values.
_SCHEMA = "items additionalItems additionalProperties unevaluatedItems unevaluatedProperties contains propertyNames"
_SCHEMA_KEYWORDS = {*_SCHEMA.split(), "not", "if", "then", "else"}
_SCHEMA_LIST_KEYWORDS = {"anyOf", "allOf", "oneOf", "prefixItems"}
_SCHEMA_DICT_KEYWORDS = {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
_TEXTS = "title description $schema $id $anchor $dynamicAnchor $comment format pattern"
_COUNTS = "minLength maxLength minItems maxItems minProperties maxProperties minContains maxContains"
_OTHERS = (
    "type const $ref $dynamicRef exclusiveMinimum exclusiveMaximum dependentRequired dependencies contentEncoding "
    "contentMediaType contentSchema nullable default examples deprecated readOnly writeOnly uniqueItems"
)


def check_json_schema(schema: JsonDict, name: str) -> None:
    """Check that a dict is a JSON schema, before a model is asked for an answer that follows it.

    The meta-schema says the same and more, but importing `jsonschema` would delay the request. `OutputSchema` imports
    it while the model answers.

    Raises
    ------
    InvalidInputError
        It is not a JSON schema. The message names the place, beginning with `name`.
    """
    if schema and _KEYWORDS.isdisjoint(schema):
        raise InvalidInputError(
            f"{name} is {_shown(schema)}, which has no keyword of JSON Schema; describe an object with these keys as "
            "{'type': 'object', 'properties': {...}}"
        )
    try:
        _check(schema, name, schema)
    except RecursionError:
        raise InvalidInputError(f"{name} is nested too deeply; use references to $defs") from None


def _check(schema: Any, place: str, root: JsonDict) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise _problem(place, schema, "pass a JSON schema: a dict, True or False")
    if isinstance(schema.get("$id"), str):
        root = schema
    for keyword, value in schema.items():
        here = f"{place}[{keyword!r}]"
        if keyword in _SCHEMA_KEYWORDS and not isinstance(value, list):
            _check(value, here, root)
        elif keyword in _SCHEMA_LIST_KEYWORDS or (keyword == "items" and isinstance(value, list)):
            if not isinstance(value, list) or not value:
                raise _problem(here, value, "pass a list of JSON schemas")
            for index, part in enumerate(value):
                _check(part, f"{here}[{index}]", root)
        elif keyword in _SCHEMA_DICT_KEYWORDS:
            if not isinstance(value, dict):
                raise _problem(here, value, "pass a dict of JSON schemas by name")
            for key, part in value.items():
                _check(part, f"{here}[{key!r}]", root)
        elif keyword == "$ref":
            _check_reference(value, here, root)
        elif keyword == "type":
            _check_type(value, here)
        else:
            _check_value(keyword, value, here)


def _check_type(value: Any, place: str) -> None:
    for each in value if isinstance(value, list) and value else [value]:
        if not isinstance(each, str):
            raise _problem(place, value, f"pass one of {', '.join(_TYPES)}, or a list of them")
        if each not in _TYPES:
            known = _PYTHON_TYPES.get(each)
            hint = f'did you mean "{known}"?' if known else nearest(each, _TYPES)
            raise InvalidInputError(f"{place} is {value!r}, and there is no JSON type {each!r}; {hint}")


def _check_reference(value: Any, place: str, root: JsonDict) -> None:
    if not isinstance(value, str):
        raise _problem(place, value, "pass a reference such as '#/$defs/Name'")
    if not value.startswith("#"):
        if "$id" not in root:
            raise _problem(place, value, "only references within the schema are followed, such as '#/$defs/Name'")
        return
    target: Any = root
    for part in value.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and key.isdigit() and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, dict) and key in target:
            target = target[key]
        else:
            known = [str(each) for each in target] if isinstance(target, dict) else []
            hint = nearest(key, known) if known else "add it"
            raise InvalidInputError(f"{place} is {value!r}, but the schema has no {key!r} there; {hint}")


def _check_value(keyword: str, value: Any, place: str) -> None:
    is_valid, remedy = _VALUE_CHECKS.get(keyword, (lambda value: True, ""))
    if not is_valid(value):
        raise _problem(place, value, remedy)
    if keyword == "pattern":
        try:
            re.compile(value)
        except re.error as error:
            raise _problem(place, value, f"pass a regular expression that Python's re module reads ({error})") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_VALUE_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), (_is_number, "pass a number")),
    **dict.fromkeys(_COUNTS.split(), (lambda value: _is_number(value) and value >= 0, "pass a number from 0")),
    **dict.fromkeys(_TEXTS.split(), (lambda value: isinstance(value, str), "pass a text")),
    "enum": (lambda value: isinstance(value, list), "pass a list of values"),
    "required": (_is_list_of_texts, "pass the list of required properties, next to 'properties'"),
}
_KEYWORDS = {*_SCHEMA_KEYWORDS, *_SCHEMA_LIST_KEYWORDS, *_SCHEMA_DICT_KEYWORDS, *_VALUE_CHECKS, *_OTHERS.split()}


def _problem(place: str, value: Any, remedy: str) -> InvalidInputError:
    return InvalidInputError(f"{place} is {_shown(value)}; {remedy}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
