"""agno's functions and toolkits as tools. Their parameters are described by agno itself."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import Any, get_args

import docstring_parser

from agno_nb.errors import InvalidInputError
from agno_nb.integrations.agno_values import agno_media, function_call, run_context
from agno_nb.tools.function import Tool
from agno_nb.tools.invoke import ForeignFunction, unwrap_partial
from agno_nb.tools.parameters import MEDIA_PARAMETERS, Parameters, SchemaParameters, check_schema
from agno_nb.types import JsonDict

_SETTINGS = (
    *("name", "description", "instructions", "add_instructions", "show_result", "stop_after_tool_call"),
    *("pre_hook", "post_hook", "tool_hooks", "requires_confirmation", "requires_user_input", "user_input_fields"),
    *("external_execution", "cache_results", "cache_dir", "cache_ttl"),
)
"""Attributes of agno's functions that are settings of :class:`~agno_nb.tools.Tool`."""
_LISTS = {
    "requires_confirmation_tools": "requires_confirmation",
    "external_execution_required_tools": "external_execution",
    "stop_after_tool_call_tools": "stop_after_tool_call",
    "show_result_tools": "show_result",
}
"""A toolkit's lists of names, each with the setting that they have."""
_CLASSES = {"Agent": "agent", "Team": "team", "RunContext": "run_context", "FunctionCall": "fc"}
"""Classes of agno whose instances are injected whatever the name of the parameter, with our name."""
_ALWAYS_INJECTED = frozenset({*_CLASSES.values(), "images", "audios", "videos", "files"})
"""Parameters that agno injects, whatever their type."""
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_BY_NAME = ("session_state", "dependencies")
"""Parameters that agno 2 injects, and that no model can fill."""
_QUESTIONS = {
    "UserControlFlowTools": ("agno_nb.tools.user_control_flow", "get_user_input"),
    "UserFeedbackTools": ("agno_nb.tools.user_feedback", "ask_user"),
}
"""Toolkits with which the model asks the user, each with our module and its tool."""


def function_of(source: Any) -> AgnoFunction:
    """Return an agno ``Function`` as a function for a tool."""
    return AgnoFunction(source, _settings(source))


def members_of(toolkit: Any) -> Iterable[Any]:
    """Return the tools of an agno ``Toolkit``, with the async functions that it has for some of them."""
    for name, source in toolkit.get_async_functions().items():
        settings = _settings(source)
        for listed, setting in _LISTS.items():
            # Also names that were listed after the toolkit was created.
            if name in (getattr(toolkit, listed, None) or ()):
                settings[setting] = True
        yield _question(name, toolkit) or AgnoFunction(source, settings)


def _settings(source: Any) -> dict[str, Any]:
    settings = {name: getattr(source, name, None) for name in _SETTINGS}
    if source.entrypoint is None and not source.external_execution:
        raise InvalidInputError(
            f"agno's function {source.name!r} has no entrypoint and therefore cannot be called; set its entrypoint, or "
            "external_execution=True"
        )
    # Lists are copied, so that later changes are noticed.
    copied = {name: [*value] if isinstance(value, list) else value for name, value in settings.items()}
    return {name: value for name, value in copied.items() if value is not None}


def _question(name: str, toolkit: Any) -> Tool | None:
    """Return our tool for one of agno's whose arguments are questions to the user, and whose calls pause the run."""
    for cls in type(toolkit).__mro__:
        module, tool = _QUESTIONS.get(cls.__name__, ("", ""))
        if tool == name:
            made: Tool = getattr(import_module(module), cls.__name__)().functions[name]
            return made
    return None


class AgnoFunction(ForeignFunction):
    """An agno ``Function``. It gets agno's own objects for run contexts, function calls and media."""

    def __init__(self, source: Any, settings: Mapping[str, Any]) -> None:
        super().__init__(source, settings, source.entrypoint)
        self.entrypoint = source.entrypoint

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.entrypoint)

    @property
    def injected(self) -> Collection[str]:
        return self.injections.values()

    @cached_property
    def injections(self) -> dict[str, str]:
        """The parameters that are injected, each with our name."""
        return {} if self.entrypoint is None else dict(_injected_parameters(self.entrypoint))

    @cached_property
    def _described(self) -> Any:
        """A copy of the function that agno has described."""
        made = self.source.model_copy(deep=True)
        made.process_entrypoint(strict=bool(self.source.strict))
        return made

    @property
    def description(self) -> str:
        if self._described.description or self.entrypoint is None:
            return self._described.description or ""
        # agno does not find the docstring of a partial function.
        return inspect.getdoc(unwrap_partial(self.entrypoint)) or ""

    def parameters(self, without: Collection[str] = ()) -> Parameters:
        schema: JsonDict = self._described.parameters
        check_schema(self.__name__, schema)
        own = {} if self.entrypoint is None else inspect.signature(self.entrypoint).parameters
        if self.entrypoint is None or not set(schema.get("properties", ())) <= own.keys():
            return SchemaParameters(self, schema, without=without)
        named = [name for name, each in own.items() if each.kind not in _VARIADIC and name not in self.injections]
        if not named and any(each.kind is each.VAR_KEYWORD for each in own.values()):
            # agno describes **kwargs as one parameter, but the function takes any.
            return SchemaParameters(self, {"properties": {}})
        return _AgnoParameters(self, schema, without)

    def __call__(self, **arguments: Any) -> Any:
        # The arguments that are injected have our names.
        values = {name: arguments.pop(name) for name in {*self.injected} if name in arguments}
        arguments |= {name: values[ours] for name, ours in self.injections.items() if ours in values}
        if not self.is_async:
            with self._agno_objects(values, arguments) as converted:
                return self.entrypoint(**converted)
        return self._call_async(values, arguments)

    async def _call_async(self, values: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
        with self._agno_objects(values, arguments) as converted:
            return await self.entrypoint(**converted)

    @contextmanager
    def _agno_objects(self, values: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Replace our objects among the arguments by agno's, because agno checks their classes."""
        converted, context = dict(arguments), None
        for name, ours in self.injections.items():
            if ours == "run_context" and name in converted:
                context = context or run_context(converted[name])
                converted[name] = context
            elif ours == "fc" and name in converted:
                converted[name] = function_call(self.source, converted[name])
            elif ours in MEDIA_PARAMETERS and name in converted:
                converted[name] = [agno_media(each) for each in converted[name]]
        yield converted
        if context is not None and context.session_state is not (own := values["run_context"].session_state):
            # The tool has assigned another dict.
            replaced = dict(context.session_state or {})
            own.clear()
            own.update(replaced)


class _AgnoParameters(Parameters):
    """Parameters with the schema that agno makes of them. Arguments are checked by the type hints, as agno does."""

    def __init__(self, function: AgnoFunction, schema: JsonDict, without: Collection[str]) -> None:
        text = inspect.getdoc(function.entrypoint)
        documented = docstring_parser.parse(text).params if text else []
        self._agno_injects = function.injections.keys()
        self._hints = _type_hints(function.entrypoint)
        super().__init__(
            function.entrypoint,
            name=function.__name__,
            descriptions={each.arg_name: each.description for each in documented if each.description},
            without=[*without, *function.injections],
        )
        self._injected = list(dict.fromkeys(function.injected))
        self._positional = []
        self._schema = schema

    def _is_model_parameter(self, parameter: inspect.Parameter) -> bool:
        return parameter.name not in self._agno_injects

    def _hint(self, parameter: inspect.Parameter) -> Any:
        # A method with agno's @tool has the hints of its module as objects, but not its globals.
        return self._hints[parameter.name] if parameter.name in self._hints else super()._hint(parameter)

    def schema(self) -> JsonDict:
        """Return agno's schema. Parameters that no value fits, or that agno leaves out, have ours."""
        ours, theirs = super().schema(), self._schema.get("properties", {})
        corrected = {name for name in self.names if name not in theirs or _fits_nothing(theirs[name])}
        required = [name for name in self._schema.get("required", ()) if name in self.names]
        required += [name for name in ours.get("required", ()) if name in corrected and name not in required]
        made = {
            **self._schema,
            "properties": {name: (ours["properties"] if name in corrected else theirs)[name] for name in self.names},
            "required": required,
        }
        return made | ({"$defs": ours["$defs"]} if corrected and "$defs" in ours else {})


def _fits_nothing(schema: Any) -> bool:
    """Whether agno describes a parameter wrongly: as an object without properties, or an enum of another type."""
    if isinstance(schema, Mapping):
        if schema.get("type") == "object" and schema.get("properties") == {}:
            return schema.get("additionalProperties") is False
        if schema.get("type") == "string" and not all(isinstance(each, str) for each in schema.get("enum", ())):
            return True
        return any(map(_fits_nothing, schema.values()))
    return isinstance(schema, list) and any(map(_fits_nothing, schema))


def _injected_parameters(entrypoint: Any) -> Iterator[tuple[str, str]]:
    """Yield each parameter that is injected by its name or its type, with our name."""
    hints = _type_hints(entrypoint)
    for name in inspect.signature(entrypoint).parameters:
        hint, ours = hints.get(name), name.removeprefix("_agno_")
        if ours in _ALWAYS_INJECTED or (ours in _BY_NAME and hint not in (str, int, float, bool)):
            yield name, ours
            continue
        kinds = [each for each in get_args(hint) or (hint,) if each is not type(None)]
        found = [_CLASSES.get(each.__name__) for each in kinds if _is_of_agno(each)]
        if found and len(found) == len(kinds) and found[0] is not None:
            yield name, found[0]


def _type_hints(entrypoint: Any) -> dict[str, Any]:
    """Return the type hints of a function; none if one of them is not defined at run time."""
    try:
        return typing.get_type_hints(entrypoint, include_extras=True)
    except Exception:
        return {}


def _is_of_agno(hint: Any) -> bool:
    return isinstance(hint, type) and hint.__module__.partition(".")[0] == "agno"
