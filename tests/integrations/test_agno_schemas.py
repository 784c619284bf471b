"""A model sees agno's toolkits as in agno itself."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from agno_nb.tools import resolve_tools
from agno_nb.types import JsonDict

SAME = (
    "airflow.AirflowTools calculator.CalculatorTools chart.ChartTools coding.CodingTools csv_toolkit.CsvTools "
    "duckdb.DuckDbTools file.FileTools file_generation.FileGenerationTools hackernews.HackerNewsTools "
    "llms_txt.LLMsTxtTools local_file_system.LocalFileSystemTools pubmed.PubmedTools python.PythonTools "
    "reasoning.ReasoningTools shell.ShellTools sleep.SleepTools webbrowser.WebBrowserTools "
    "website.WebsiteTools webtools.WebTools workspace.Workspace"
).split()
"""Toolkits that need neither a key nor a package that is not a dependency of agno or of the tests."""

CORRECTED = {
    # agno describes each value of a Dict[str, Any] as an object that cannot have properties.
    "api.CustomApiTools": {"make_request": {"params", "data", "json_data"}},
    "pandas.PandasTools": {
        "create_pandas_dataframe": {"function_parameters"},
        "run_dataframe_operation": {"operation_parameters"},
    },
    # The same within a list.
    "visualization.VisualizationTools": {
        name: {"data"} for name in ("create_bar_chart", "create_line_chart", "create_pie_chart")
    },
    # agno requires a parameter `kwargs` of any type, for **kwargs.
    "email.EmailTools": {"email_user": {"kwargs"}},
}
"""Parameters that agno describes so that no call is valid, by toolkit and function."""


def toolkit(path: str) -> Any:
    module, name = path.split(".")
    return getattr(importlib.import_module(f"agno.tools.{module}"), name)()


def as_in_agno(kit: Any) -> dict[str, tuple[str, JsonDict]]:
    """Return description and parameters of the functions as agno sends them in an async run."""
    made = {name: function.model_copy(deep=True) for name, function in kit.get_async_functions().items()}
    for function in made.values():
        function.process_entrypoint()
    described = {name: function.to_dict() for name, function in made.items()}
    return {name: (each.get("description", ""), each["parameters"]) for name, each in described.items()}


def as_here(kit: Any) -> dict[str, tuple[str, JsonDict]]:
    tools = resolve_tools([kit], tool_cache=[])
    return {name: (each.spec.description, each.spec.parameters) for name, each in tools.items()}


@pytest.mark.parametrize("path", SAME)
def test_a_toolkit_is_described_as_in_agno(path: str) -> None:
    kit = toolkit(path)
    assert as_here(kit) == as_in_agno(kit)
    assert as_here(kit)


@pytest.mark.parametrize("path", CORRECTED)
def test_only_parameters_that_agno_describes_wrongly_differ(path: str) -> None:
    kit = toolkit(path)
    ours, theirs = as_here(kit), as_in_agno(kit)
    assert ours.keys() == theirs.keys()
    different: dict[str, set[str]] = {}
    for name, (description, parameters) in ours.items():
        of_agno = theirs[name][1]
        assert description == theirs[name][0]
        names = parameters["properties"].keys() | of_agno["properties"].keys()
        changed = {each for each in names if parameters["properties"].get(each) != of_agno["properties"].get(each)}
        assert [*parameters["required"]] == [each for each in of_agno["required"] if each != "kwargs"]
        if changed:
            different[name] = changed
    assert different == CORRECTED[path]


@pytest.mark.parametrize(
    ("path", "name", "parameter"),
    [
        ("user_control_flow.UserControlFlowTools", "get_user_input", "user_input_fields"),
        ("user_feedback.UserFeedbackTools", "ask_user", "questions"),
    ],
    ids=["input", "feedback"],
)
def test_tools_that_ask_the_user_have_our_schema(path: str, name: str, parameter: str) -> None:
    # agno describes the fields of a question in prose only, and accepts any object.
    kit = toolkit(path)
    (ours,), (theirs,) = as_here(kit).items(), as_in_agno(kit).items()
    assert ours[0] == theirs[0] == name
    assert [*ours[1][1]["properties"]] == [*theirs[1][1]["properties"]] == [parameter]
    assert ours[1][1]["properties"][parameter]["items"]["$ref"].startswith("#/$defs/")
