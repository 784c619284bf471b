"""Parameters of tools: their JSON schema, and validation of the arguments that a model writes."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NotRequired, get_args, get_origin

from typing_extensions import TypedDict

from agno_nb._typed_dicts import with_known_typed_dicts
from agno_nb.errors import InvalidInputError
from agno_nb.media import Audio, File, Image, Video
from agno_nb.redact import whole_characters
from agno_nb.tools.invoke import ForeignFunction
from agno_nb.types import JsonDict, Media, import_jsonschema, json_object, shorten

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

MEDIA_PARAMETERS = ("images", "audio", "audios", "videos", "files")
"""Injected parameters with the media of the user's message. They are injected if their type hint names media."""
INJECTED_PARAMETERS = ("agent", "team", "run_context", "session_state", "dependencies", "fc", *MEDIA_PARAMETERS)
"""Parameters that are injected at run time and hidden from the model. If such a parameter has a type like str or int,
which cannot be injected, it is a parameter of the model. `fc` is the :class:`~agno_nb.tools.FunctionCall`."""

_MAX_PROBLEMS = 10
_MAX_PROBLEM_LENGTH = 300


class InvalidArguments(ValueError):
    """Invalid arguments of a tool call. The message is sent to the model."""


class Parameters:
    """The parameters of a function that a model fills in, except those in `without`.

    `descriptions` come from the docstring; ``Annotated[int, "..."]`` takes precedence. If a parameter has a type
    without a JSON schema, InvalidInputError is raised.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str,
        descriptions: Mapping[str, str],
        without: Collection[str] = (),
    ) -> None:
        self._name, self._descriptions = name, descriptions
        bound: set[str] = set()
        plain = function
        while isinstance(plain, partial):
            bound |= plain.keywords.keys()
            plain = plain.func
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError as error:
            raise InvalidInputError(
                f"cannot read the signature of tool {name!r}: {error}; wrap it in a function with annotated parameters"
            ) from error
        routine = plain if inspect.isroutine(plain) else type(plain).__call__
        self._globals = getattr(inspect.unwrap(routine), "__globals__", {})
        self._injected: list[str] = []
        self._positional: list[str] = []
        keys: dict[str, Any] = {}
        variadic: list[inspect.Parameter] = []
        for parameter in parameters:
            if parameter.name in bound:
                continue
            if parameter.name in INJECTED_PARAMETERS and not self._is_model_parameter(parameter):
                self._injected.append(parameter.name)
            elif parameter.name in without:
                continue
            elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                variadic.append(parameter)
            else:
                keys[parameter.name] = self._typed_key(parameter)
                if parameter.kind is parameter.POSITIONAL_ONLY:
                    self._positional.append(parameter.name)
        if variadic and not keys:
            raise InvalidInputError(
                f"tool {name!r} has a parameter {variadic[0]!s}, which a model cannot fill, and no other; name its "
                "parameters (in a decorator, use functools.wraps)"
            )
        self._with_default = {each.name for each in parameters if each.default is not each.empty}
        self.names = list(keys)
        self._adapter = self._build_adapter(keys)

    def schema(self) -> JsonDict:
        """Return the JSON schema of an object with these parameters and no others."""
        schema = self._adapter.json_schema()
        without_titles(schema)
        return schema

    def parse(self, text: str) -> dict[str, Any]:
        """Parse the arguments that a model wrote into the types of the parameters, or raise InvalidArguments."""
        arguments, _ = self._parse(text)
        return arguments

    def _parse(self, text: str) -> tuple[dict[str, Any], str]:
        """Return the arguments as the types of the parameters, and their repaired JSON text."""
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json(text or "{}"), text or "{}"
        except ValidationError as error:
            repaired = self._repair(text, error)
            if repaired is None:
                raise InvalidArguments(self._explain(error)) from None
        try:
            return self._adapter.validate_json(repaired), repaired
        except ValidationError as error:
            raise InvalidArguments(self._explain(error)) from None

    def positional_arguments(self, arguments: Mapping[str, Any]) -> list[Any]:
        """Return the arguments of positional-only parameters."""
        return [arguments[name] for name in self._positional if name in arguments]

    def kwargs_for_call(self, arguments: Mapping[str, Any], injected: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments, including injected ones."""
        by_name = {name: value for name, value in arguments.items() if name not in self._positional}
        return by_name | {name: injected[name] for name in self._injected if name in injected}

    def _repair(self, text: str, error: ValidationError) -> str | None:
        """Repair common mistakes of models: null for a default, and JSON in a string. None if it is not an object."""
        try:
            arguments = json.loads(text)
            if isinstance(arguments, str):
                arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return None
        if not isinstance(arguments, dict):
            return None
        invalid_names = {
            problem["loc"][0] for problem in error.errors(include_url=False, include_input=False) if problem["loc"]
        }
        for name in invalid_names & arguments.keys():
            value = arguments[name]
            if value is None and name in self._with_default:
                del arguments[name]
            elif isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
                with suppress(ValueError, RecursionError):
                    arguments[name] = json.loads(value)
        return whole_characters(json.dumps(arguments, ensure_ascii=False))

    def _explain(self, error: ValidationError) -> str:
        problems = error.errors(include_url=False, include_input=False)
        lines = []
        for problem in problems[:_MAX_PROBLEMS]:
            place, reason = ".".join(map(str, problem["loc"])), shorten(problem["msg"], _MAX_PROBLEM_LENGTH)
            if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
                reason = f"there is no such parameter; there are: {', '.join(self.names) or 'none'}"
            lines.append(f"- {shorten(place or 'arguments', _MAX_PROBLEM_LENGTH)}: {reason}")
        if more := len(problems) - len(lines):
            lines.append(f"- and {more} more")
        return "\n".join(lines)

    def _build_adapter(self, keys: dict[str, Any]) -> TypeAdapter[dict[str, Any]]:
        from pydantic import ConfigDict, PydanticUserError, TypeAdapter

        # A TypedDict, because a pydantic model does not accept all names of parameters.
        make: Any = TypedDict  # Type checkers know only literal ones.
        typed = make("Arguments", keys)
        typed.__pydantic_config__ = ConfigDict(extra="forbid")
        try:
            adapter = TypeAdapter[dict[str, Any]](typed)
            adapter.json_schema()
        except Exception as error:
            # pydantic does not export its SchemaError.
            if not isinstance(error, PydanticUserError) and type(error).__name__ != "SchemaError":
                raise
            if len(keys) > 1:
                for name, key in keys.items():
                    self._build_adapter({name: key})  # Raises the error of the parameter that is at fault.
            if isinstance(error, PydanticUserError):
                raise InvalidInputError(
                    f"parameter {', '.join(keys)!r} of tool {self._name!r} is of a type that a model cannot fill "
                    f"({error}); use str, numbers, bool, list, dict, Literal, an enum, a dataclass or a pydantic model"
                ) from error
            reason = str(error).splitlines()[-1].strip().removeprefix("error: ")
            raise InvalidInputError(
                f"parameter {', '.join(keys)!r} of tool {self._name!r} has a constraint that pydantic does not accept "
                f"({reason}); change its Field(...), or check the value in the function"
            ) from None
        return adapter

    def _typed_key(self, parameter: inspect.Parameter) -> Any:
        from pydantic import Field

        annotation = self._hint(parameter)
        about: dict[str, Any] = {}
        if parameter.name in self._descriptions:
            about["description"] = self._descriptions[parameter.name]
        if parameter.default is not parameter.empty:
            about["json_schema_extra"] = _default(annotation, parameter.default)
        metadata: tuple[Any, ...] = (Field(**about),)
        if get_origin(annotation) is typing.Annotated:
            annotation, *more = get_args(annotation)
            # Later metadata wins. Strings and typing_extensions.Doc are descriptions too.
            texts = {index: getattr(each, "documentation", each) for index, each in enumerate(more)}
            metadata += tuple(
                Field(description=texts[index]) if isinstance(texts[index], str) else each
                for index, each in enumerate(more)
            )
        described: Any = typing.Annotated  # Type checkers know only literal metadata.
        key = described[(annotation, *metadata)]
        return key if parameter.default is parameter.empty else NotRequired[key]

    def _hint(self, parameter: inspect.Parameter) -> Any:
        """Return the type hint of a parameter. Hints of injected parameters need not be defined at run time."""
        if parameter.annotation is parameter.empty:
            return Any
        holder = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
        try:
            hint = typing.get_type_hints(holder, self._globals, include_extras=True)["it"]
            return with_known_typed_dicts(hint)
        except NameError as error:
            raise InvalidInputError(f"the type hints of tool {self._name!r} cannot be read: {error}") from error

    def _is_model_parameter(self, parameter: inspect.Parameter) -> bool:
        """Whether a parameter with the name of an injected one is for the model, for example the `team` of a league."""
        try:
            hint = self._hint(parameter)
        except InvalidInputError:
            return False
        if parameter.name in MEDIA_PARAMETERS:
            return not _has_media(hint)
        if get_origin(hint) is typing.Annotated:
            hint = get_args(hint)[0]
        kinds = get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
        return all(
            kind in (str, int, float, bool, type(None))
            or get_origin(kind) is Literal
            or (isinstance(kind, type) and issubclass(kind, Enum))
            for kind in kinds
        )


class SchemaParameters(Parameters):
    """Parameters described by a JSON schema instead of type hints. Arguments are passed as they are in JSON."""

    def __init__(self, function: Callable[..., Any], schema: JsonDict, *, without: Collection[str] = ()) -> None:
        check_schema(getattr(function, "__name__", type(function).__name__), schema)
        properties = {name: each for name, each in schema.get("properties", {}).items() if name not in without}
        required = [name for name in schema.get("required", ()) if name not in without]
        self._schema: JsonDict = {"type": "object", **schema, "properties": properties, "required": required}
        self._positional: list[str] = []
        named = function.injected if isinstance(function, ForeignFunction) else inspect.signature(function).parameters
        self._injected = [name for name in INJECTED_PARAMETERS if name in named and name not in properties]
        self._with_default: set[str] = set()
        self.names = list(properties)

    def schema(self) -> JsonDict:
        return self._schema

    def parse(self, text: str) -> dict[str, Any]:
        arguments = json_object(text or "{}")
        if arguments is None:
            raise InvalidArguments("- arguments: not a JSON object")
        problems = [
            f"- {'.'.join(map(str, each.path)) or 'arguments'}: {each.message}" for each in self._problems(arguments)
        ]
        if problems:
            raise InvalidArguments("\n".join(shorten(each, _MAX_PROBLEM_LENGTH) for each in problems[:_MAX_PROBLEMS]))
        return arguments

    def _problems(self, arguments: JsonDict) -> list[Any]:
        validator: Any = import_jsonschema().validators.validator_for(self._schema)(self._schema)
        return [*validator.iter_errors(arguments)]


def check_schema(name: str, schema: Any) -> None:
    """Raise an InvalidInputError if the parameters of a tool are described by an invalid JSON schema."""
    jsonschema = import_jsonschema()
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidInputError(
            f"the JSON schema of tool {name!r} is not valid: {shorten(error.message, _MAX_PROBLEM_LENGTH)} at "
            f"{error.json_path}; correct it"
        ) from None


def _has_media(hint: Any) -> bool:
    """Whether a type hint names media: the class, or one of the functions that create them."""
    return any(hint is each for each in (Media, Audio, File, Image, Video)) or any(map(_has_media, get_args(hint)))


def _default(annotation: Any, value: Any) -> JsonDict | None:
    """Return the default as a part of the schema; None if JSON cannot hold it."""
    from pydantic import TypeAdapter

    try:
        default = TypeAdapter(annotation).dump_python(value, mode="json", warnings=False)
        json.dumps(default, allow_nan=False)
    except Exception:  # Also pydantic's SchemaError, which is raised again where the tool is described.
        return None
    return {"default": default}


def without_titles(schema: Any) -> None:
    """Remove the titles that pydantic generates from names: they cost tokens and add nothing."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for key, value in schema.items():
            parts = value.values() if key in ("properties", "$defs") and isinstance(value, dict) else [value]
            for part in parts:
                without_titles(part)
    elif isinstance(schema, Sequence) and not isinstance(schema, str):
        for part in schema:
            without_titles(part)
