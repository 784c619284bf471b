"""LangChain's tools and toolkits. LangChain itself validates the arguments and injects what it hides from the model."""

from __future__ import annotations

import base64
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from typing import Any, NamedTuple

from agno_nb.errors import InvalidInputError
from agno_nb.media import Image
from agno_nb.tools.images import ToolResult
from agno_nb.tools.invoke import ForeignFunction, ToolFailure
from agno_nb.tools.parameters import Parameters, SchemaParameters, without_titles
from agno_nb.types import JsonDict, json_object

_INJECTED = ("agent", "team", "run_context", "session_state", "dependencies", "fc")
_BY_LANGCHAIN = frozenset({"InjectedToolCallId", "RunnableConfig", "CallbackManagerForToolRun"})
"""Types of parameters that LangChain fills in itself."""
_OF_RUN = ("user_id", "session_id", "run_id")
"""Hidden parameters with values of the run."""


def function_of(source: Any) -> LangChainFunction:
    """Return a LangChain tool as a function for a tool."""
    settings = {"name": source.name, "description": source.description, "stop_after_tool_call": source.return_direct}
    return LangChainFunction(source, settings, _python_function(source))


def members_of(toolkit: Any) -> Iterable[Any]:
    """Return the tools of a LangChain toolkit."""
    tools: Iterable[Any] = toolkit.get_tools()
    return tools


class _Hidden(NamedTuple):
    """A parameter that the model does not see."""

    kinds: set[str]
    """Names of the classes in its annotation."""
    has_default: bool
    key: str | None
    """The key of the state that it gets, as in ``InjectedState("messages")``."""


class LangChainFunction(ForeignFunction):
    """A LangChain ``BaseTool``, which is invoked with a tool call, so that its artifact is returned too."""

    @cached_property
    def _is_async(self) -> bool:
        own = getattr(type(self.source), "_arun", None)
        is_overridden = not str(getattr(own, "__module__", "")).startswith("langchain_core.")
        return getattr(self.source, "coroutine", None) is not None or is_overridden

    @property
    def is_async(self) -> bool:
        return self._is_async

    @cached_property
    def _visible(self) -> Collection[str]:
        return _properties(self.source.tool_call_schema)

    @property
    def injected(self) -> Collection[str]:
        return [name for name in _INJECTED if name not in self._visible]

    def parameters(self, without: Collection[str] = ()) -> Parameters:
        if self.source.args_schema is None and [*self.source.args] == ["tool_input"]:  # A tool for one string.
            properties = dict(self.source.args)
            schema: Any = {"type": "object", "properties": properties, "required": [*properties]}
        else:
            schema = self.source.tool_call_schema
        if isinstance(schema, Mapping):
            return SchemaParameters(self, _bare(schema), without=without)
        if not hasattr(schema, "model_json_schema"):  # A model of pydantic 1.
            return SchemaParameters(self, _bare(schema.schema()), without=without)
        return _LangChainParameters(self, schema, without)

    def __call__(self, **arguments: Any) -> Any:
        call, config = self._call_and_config(arguments)
        if self.is_async:
            return self._ainvoke(call, config)
        return _as_result(self.source.invoke(call, config))

    async def _ainvoke(self, call: JsonDict, config: JsonDict) -> Any:
        return _as_result(await self.source.ainvoke(call, config))

    def _call_and_config(self, arguments: dict[str, Any]) -> tuple[JsonDict, JsonDict]:
        injected = {name: arguments.pop(name) for name in self.injected if name in arguments}
        context, call_id = injected.get("run_context"), getattr(injected.get("fc"), "call_id", self.source.name)
        # The model may have made one up.
        arguments = {name: value for name, value in arguments.items() if name not in self._hidden}
        arguments |= self._hidden_arguments(injected)
        configurable = {name: getattr(context, name, None) for name in _OF_RUN}
        configurable["thread_id"] = configurable["session_id"]  # Its name in LangGraph.
        made = {"type": "tool_call", "id": call_id, "name": self.source.name, "args": arguments}
        return made, {"configurable": configurable, "metadata": dict(getattr(context, "metadata", None) or {})}

    def _hidden_arguments(self, injected: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that the model does not see, except those that LangChain fills in."""
        found: dict[str, Any] = {}
        dependencies = injected.get("dependencies") or {}
        for name, hidden in self._hidden.items():
            if hidden.kinds & _BY_LANGCHAIN:
                continue
            if "InjectedState" in hidden.kinds:
                state = injected.get("session_state", {})
                found[name] = state if hidden.key is None else state.get(hidden.key)
            elif name in dependencies:
                found[name] = dependencies[name]
            elif name in injected:
                found[name] = injected[name]
            elif name in _OF_RUN and (value := getattr(injected.get("run_context"), name, None)) is not None:
                found[name] = value
            elif not hidden.has_default:
                raise InvalidInputError(
                    f"parameter {name!r} of tool {self.source.name!r} is hidden from the model; pass its value with "
                    f"dependencies={{{name!r}: ...}} of the agent or the run"
                )
        return found

    @cached_property
    def _hidden(self) -> dict[str, _Hidden]:
        source, found = self.source, {}
        hints = _type_hints(_python_function(source))
        fields = getattr(source.args_schema, "model_fields", None) or {}
        for name in dict.fromkeys([*fields, *getattr(source, "_injected_args_keys", ())]):
            if name in self._visible:
                continue
            field = fields.get(name)
            hint, metadata = hints.get(name), getattr(field, "metadata", ())
            parts = [hint, getattr(field, "annotation", None), *metadata]
            keys = [getattr(each, "field", None) for each in (*typing.get_args(hint), *metadata)]
            found[name] = _Hidden(
                kinds={kind for part in parts for kind in _names(part)},
                has_default=field is not None and not field.is_required(),
                key=next((each for each in keys if isinstance(each, str)), None),
            )
        return found


class _LangChainParameters(Parameters):
    """Parameters of a pydantic model. The tool gets the arguments as they are in JSON, and validates them again."""

    def __init__(self, function: LangChainFunction, model: Any, without: Collection[str]) -> None:
        from pydantic import TypeAdapter

        self._function, self._without = function, without
        self._name = function.source.name
        self._positional, self._injected = [], [*function.injected]
        self._model, self._adapter = model, TypeAdapter(model)
        fields = {each.alias or name: each for name, each in model.model_fields.items()}
        self._with_default = {name for name, each in fields.items() if not each.is_required()}
        self.names = [name for name in fields if name not in without]

    def schema(self) -> JsonDict:
        from pydantic.errors import PydanticInvalidForJsonSchema

        try:
            schema = _bare(self._model.model_json_schema())
        except PydanticInvalidForJsonSchema as error:
            raise InvalidInputError(
                f"tool {self._name!r} has a parameter of a type that a model cannot fill ({error}); give it an "
                "args_schema"
            ) from error
        return schema | {
            "properties": {name: each for name, each in schema["properties"].items() if name not in self._without},
            "required": [name for name in schema.get("required", ()) if name not in self._without],
        }

    def parse(self, text: str) -> JsonDict:
        arguments = json_object(text or "{}")
        if self._without:
            return arguments or {}  # A person provides the others.
        if arguments is not None and self._function.source.handle_validation_error:
            return arguments
        _, repaired = self._parse(text)
        return json_object(repaired) or {}


def _as_result(message: Any) -> Any:
    """Return the result of an invoked tool, which is a ToolMessage, as ours."""
    if not hasattr(message, "tool_call_id"):
        return message
    content, images = _content(message.content)
    if message.status == "error":
        raise ToolFailure(content if isinstance(content, str) else str(content))
    if message.artifact is None and not images:
        return content
    return ToolResult(content, images=images, artifact=message.artifact)


def _content(content: Any) -> tuple[Any, list[Any]]:
    """Return the text of content blocks, and their images."""
    if not isinstance(content, list):
        return content, []
    texts, images = [], []
    for block in content:
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") == "text":
            texts.append(str(block.get("text", "")))
        elif (image := _image(block)) is not None:
            images.append(image)
        else:
            return content, []
    return "\n".join(texts), images


def _image(block: Mapping[str, Any]) -> Any:
    """Return the image of a content block of OpenAI or LangChain; None if it has none."""
    url = block.get("image_url", block.get("url"))
    url = url.get("url") if isinstance(url, Mapping) else url
    data = block.get("base64", block.get("data"))
    if isinstance(url, str) and block.get("type") in ("image_url", "image"):
        return Image(url=url)
    if isinstance(data, str) and block.get("type") == "image":
        return Image(content=base64.b64decode(data), mime_type=block.get("mime_type"))
    return None


def _bare(schema: Mapping[str, Any]) -> JsonDict:
    """Return a copy of a JSON schema without titles, and without the description of the tool."""
    made = deepcopy({name: each for name, each in schema.items() if name != "description"})
    without_titles(made)
    return {"type": "object", "properties": {}, **made}


def _properties(schema: Any) -> Collection[str]:
    """Return the names of the parameters that a tool's schema has."""
    if isinstance(schema, Mapping):
        return set(schema.get("properties", ()))
    fields = getattr(schema, "model_fields", None)
    return set(schema.__fields__ if fields is None else fields)


def _python_function(source: Any) -> Any:
    """Return the function that a tool calls."""
    return getattr(source, "func", None) or getattr(source, "coroutine", None) or source._run


def _type_hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # LangChain has read what can be read of them.
        return {}


def _names(hint: Any) -> Iterator[str]:
    """Yield the names of the classes in a type hint."""
    yield str(getattr(hint, "__name__", type(hint).__name__))
    for part in typing.get_args(hint):
        yield from _names(part)
