"""Functions of the program as tools: their schemas, and their calls in this process."""

import asyncio
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.settings import bad_input
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpFunction
from openhands_sessions.sdk.agent import TOOL_NAME, is_idempotent, running_in
from openhands_sessions.sdk.worker_thread import in_thread

MOST_AT_ONCE = 32
"""Sync functions that run at the same time, each in a thread; more of them wait."""
_RESERVED = {"execute_bash", "execute_ipython_cell", "str_replace_editor", "think", "finish", "task_tracker"}
_PARAMETER = re.compile(r"^\s*(?::param(?:\s+[\w.\[\], ]+?)?\s+(\w+):|(\w+)\s*(?:\([^)]*\))?:)\s*(.+)$")
_SECTION = re.compile(r"^\s*(args|arguments|parameters|returns?|raises|yields|examples?|notes?):\s*$", re.IGNORECASE)


class FunctionTools:
    """The functions of one agent, as McpTools: they run outside of any sandbox. `owner` is the session."""

    problems: Sequence[str] = ()

    def __init__(self, functions: Sequence[Callable[..., Any]], owner: str) -> None:
        """Raises BadInput for what cannot be a tool."""
        self._tools: dict[str, _FunctionTool] = {}
        for function in functions:
            made = _FunctionTool(function)
            if made.described.name in self._tools:
                raise BadInput("tools", f"must not have two functions of the name {made.described.name!r}")
            self._tools[made.described.name] = made
        self._owner = owner
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self.functions: Sequence[McpFunction] = tuple(each.described for each in self._tools.values())

    async def call(self, call: CallMcp) -> McpDone:
        found = self._tools.get(call.name)
        if found is None:
            return McpDone(text=f"Not called: the program has no function {call.name!r} now.", failed=True)
        try:
            arguments = found.arguments(call.arguments)
        except BadInput as error:
            return McpDone(text=f"Not called: {error.message}.", failed=True)
        try:
            async with asyncio.timeout(call.timeout) as limit:
                return McpDone(text=_text(await self._run(found, arguments)))
        except TimeoutError as error:
            if not limit.expired():
                return _failed(error)
            return McpDone(text=f"The function did not return within {call.timeout:.0f} seconds.", unknown=True)
        except Exception as error:  # of a function that may raise anything
            return _failed(error)

    async def _run(self, found: "_FunctionTool", arguments: Mapping[str, Any]) -> object:
        if found.is_async:
            token = running_in.set(self._owner)
            try:
                return await found.function(**arguments)
            finally:
                running_in.reset(token)
        async with self._room:
            return await in_thread(lambda: found.function(**arguments), self._owner)


class _FunctionTool:
    """One function. Its parameters are fields of a model, by their names as aliases, so that any name will do."""

    def __init__(self, function: Callable[..., Any]) -> None:
        name = getattr(function, "__name__", "")
        if not callable(function) or not TOOL_NAME.fullmatch(name) or name in _RESERVED:
            raise BadInput("tools", f"must be functions with names of their own, and {name or function!r} is none")
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        summary, documented = _documented(inspect.getdoc(function) or "")
        self._names, self._model = _model(function, name, documented)
        schema = self._model.model_json_schema(by_alias=True)
        schema.pop("title", None)
        for each in schema.get("properties", {}).values():
            each.pop("title", None)
        self.described = McpFunction(
            name=name, description=summary, parameters=schema, idempotent=is_idempotent(function)
        )

    def arguments(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises BadInput that names the argument."""
        try:
            read = self._model.model_validate(dict(given))
        except ValidationError as error:
            raise bad_input(error, "arguments", known=self._names) from None
        return {name: getattr(read, f"p{place}") for place, name in enumerate(self._names)}


def _model(
    function: Callable[..., Any], name: str, documented: Mapping[str, str]
) -> tuple[Sequence[str], type[BaseModel]]:
    fields: dict[str, Any] = {}
    names: list[str] = []
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise BadInput("tools", f"must have types that can be looked up, and {name!r} has not: {error}") from None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise BadInput("tools", f"must have named parameters only, and {name!r} has {parameter}")
        if parameter.name not in hints:
            raise BadInput("tools", f"must have a type for each parameter: {parameter.name!r} of {name!r} has none")
        fields[f"p{len(names)}"] = (hints[parameter.name], _field(parameter, documented.get(parameter.name)))
        names.append(parameter.name)
    try:
        return names, create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        raise BadInput("tools", f"must have types with a JSON form, and {name!r} has not: {error.message}") from None


def _field(parameter: inspect.Parameter, description: str | None) -> FieldInfo:
    default = ... if parameter.default is parameter.empty else parameter.default
    if description is None:
        made: FieldInfo = Field(default, alias=parameter.name)
    else:
        made = Field(default, alias=parameter.name, description=description)
    return made


def _documented(text: str) -> tuple[str, Mapping[str, str]]:
    """The text of a docstring before its sections, and what it says of parameters, in Google's form or Sphinx's."""
    summary: list[str] = []
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if head := _SECTION.match(line):
            section = head[1].lower()
            continue
        about = _PARAMETER.match(line)
        if about is not None and (about[1] or section in ("args", "arguments", "parameters")):
            found[about[1] or about[2]] = about[3].strip()
        elif not section and not line.lstrip().startswith(":"):
            summary.append(line)
    return "\n".join(summary).strip(), found


def _failed(error: Exception) -> McpDone:
    return McpDone(text=f"{type(error).__name__}: {error}", failed=True)


def _text(result: object) -> str:
    if isinstance(result, str):
        return result
    return "" if result is None else TypeAdapter(Any).dump_json(result, fallback=str).decode()
