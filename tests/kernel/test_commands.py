"""%agent commands, answer formats, SQL, the response cache, settings and completion, in a real kernel."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agno_nb.db.duckdb import DuckDb
from tests.fakes.strict import StrictServer, says
from tests.kernel.conftest import WAIT_S, Kernel

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for all tests here, each of which begins a new session."""
    kernel = Kernel(tmp_path_factory.mktemp("shared"))
    kernel.run("%load_ext agno_nb")
    kernel.run("from agno_nb import Agent, DemoModel, ScriptedModel")
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(shared: Kernel) -> Kernel:
    shared.run("%agent --new --cache off --rerun replace --history 10 --user ''")
    return shared


def store(kernel: Kernel) -> DuckDb:
    return DuckDb(kernel.folder / "agno_nb.duckdb")


def value(kernel: Kernel, expression: str) -> Any:
    """Return the value of an expression in the kernel."""
    return json.loads(kernel.run(f"import json; print(json.dumps({expression}))").printed)


def completions(kernel: Kernel, code: str) -> list[str]:
    """Return the completions at the ``|`` of `code`, each as the resulting line."""
    before, _, after = code.partition("|")
    kernel.client.complete(before + after, len(before))
    while True:
        answer = kernel.client.get_shell_msg(timeout=WAIT_S)
        if answer["msg_type"] == "complete_reply":
            break
    content = answer["content"]
    return [before[: content["cursor_start"]] + match for match in content["matches"]]


def test_sessions_are_named_resumed_copied_and_deleted(kernel: Kernel) -> None:
    kernel.run("%%agent\nMy name is Ada.")
    kernel.run("%%agent\nMy favourite city is Rome.")
    assert kernel.run("%agent rename").shown == "session  has no name yet"
    kernel.run("%agent rename Night trains")
    assert kernel.run("%agent rename").shown == "session  Night trains"
    kernel.run("%agent new")
    kernel.run("%%agent\nhello")
    assert "resumed session 'Night trains': 2 turns so far" in kernel.run("%agent resume Night trains").shown
    said = kernel.run("%agent history 1").shown
    assert "Rome" in said
    assert "Ada" not in said
    assert "1 earlier turn not shown" in said
    assert "now in a copy of session 'Night trains'" in kernel.run("%agent fork 0").shown
    assert "find nothing about your favourite city" in kernel.run("%%agent\nWhat is my favourite city?").shown
    assert "Ada" in kernel.run("%agent history").shown
    refused = kernel.run("%agent delete", expect="error")
    assert "add --yes to delete" in refused.content["traceback"][0]
    before = len(store(kernel).sessions_df())
    kernel.run("%agent --yes delete")
    assert len(store(kernel).sessions_df()) == before - 1
    assert "no session 'nonsense'" in kernel.run("%agent resume nonsense", expect="error").content["evalue"]


def test_the_summary_of_the_session_is_waited_for(kernel: Kernel) -> None:
    kernel.run("%agent --summaries")
    kernel.run("%%agent\nI live in Lisbon.")
    shown = kernel.run("%agent summary").shown
    assert "Lisbon" in shown
    assert "turns 0 to 0" in shown
    kernel.run("%agent --summaries off")


@pytest.mark.versions
def test_a_setting_without_a_value_is_shown_and_all_are_one_with_config(kernel: Kernel) -> None:
    kernel.run("%agent --history 3 --rerun append")
    assert kernel.run("%agent --history --rerun --cache").shown.split("\n") == [
        "history  the last 3 runs",
        "rerun    append",
        "cache    off",
    ]
    assert kernel.run("%config AgnoNb.history").outputs[0]["content"]["data"]["text/plain"] == "3"
    kernel.run("%config AgnoNb.history = 10")
    assert kernel.run("%agent --history").shown == "history  the last 10 runs"
    for refused in ("history = -4", "model = 'nonsense'"):
        assert refused.split()[-1].strip("'") in kernel.run(f"%config AgnoNb.{refused}").printed
    assert kernel.run("%agent --history --model").shown.startswith("model    demo: rule-based")
    kernel.run("%agent --budget 0.5")
    assert kernel.run("%agent --budget").shown == "budget  0.5"
    assert "-1" in kernel.run("%agent --budget -1", expect="error").content["evalue"]
    kernel.run("%agent --budget off")
    assert kernel.run("%agent --budget").shown == "budget  none"
    for word in ("off", "none", "None"):
        kernel.run("%agent --user ada")
        assert kernel.run("%agent --user").shown == "user  ada"
        kernel.run(f"%agent --user {word}")
        assert kernel.run("%agent --user").shown == "user  none; `%agent --user NAME` sets one"
    assert "choose from" in kernel.run("%agent --rerun sometimes", expect="error").content["evalue"]


def test_the_context_of_a_run_is_told_part_by_part(kernel: Kernel) -> None:
    kernel.run("name = 'Ada'")
    kernel.run("%%agent\nMy name is {name}.", cell_id="a")
    kernel.run("%%agent\nWhat is my name?", cell_id="b")
    kernel.run("%%agent\nMy name is not {name}.", cell_id="a")
    shown = kernel.run("%agent context 1").shown
    assert "history       turn 0" in shown
    assert "estimated by length; the provider counted" in shown
    again = kernel.run("%agent context").shown
    assert re.search(r"variable +name +~1 +str\n", again)
    assert "1 earlier attempt at this turn" in again
    assert value(kernel, "[part.source for part in _agent.context().parts]") == ["instructions", "prompt", "variable"]


def test_json_is_an_object_and_a_bad_answer_is_not_lost(kernel: Kernel) -> None:
    kernel.run(
        """good = Agent(ScriptedModel(['```json\\n{"city": "Rome"}\\n```']), name='good')\n"""
        "bad = Agent(ScriptedModel(['No idea.', 'Still none.']), name='bad')"
    )
    kernel.run("%%agent good -f json -o found\nWhere?")
    assert value(kernel, "found.content") == {"city": "Rome"}
    reply = kernel.run("%%agent bad -f json -o lost\nWhere?", expect="error")
    assert reply.content["ename"] == "OutputSchemaError"
    assert "Still none." in reply.shown
    assert value(kernel, "[lost.content, _agent is lost]") == ["Still none.", True]


@pytest.mark.versions
def test_code_goes_into_the_next_cell_and_text_stays_as_it_is(kernel: Kernel) -> None:
    kernel.run(
        "script = ['```python\\nx = 1\\n```\\nor\\n```sql\\nselect 1\\n```', 'none', '*as* it is']\n"
        "coder = Agent(ScriptedModel(script), name='coder')"
    )
    reply = kernel.run("%%agent coder -f code\nWrite code")
    assert reply.content["payload"] == [{"source": "set_next_input", "text": "x = 1", "replace": False}]
    assert "no Python code" in kernel.run("%%agent coder -f code\nWrite code").shown
    html = next(iter(kernel.run("%%agent coder -f text\nSpeak").displays().values()))["content"]["data"]["text/html"]
    assert "*as* it is" in html


def test_sql_reads_the_store_and_the_frames_that_it_names(kernel: Kernel) -> None:
    kernel.run("%%agent -s sql\nhello")
    kernel.run("import pandas as pd; prices = pd.DataFrame({'model': ['demo'], 'price': [2.5]}); runs = prices")
    reply = kernel.run(
        "%%agent_sql\nselect price, count(*) as n from prices join runs on session_id = 'sql' group by 1"
    )
    assert "2.5" in reply.shown
    assert "runs is the store's table" in reply.printed
    assert kernel.run("%%agent_sql -o found\nselect 'prices' as text, 1 as n").outputs == []
    assert value(kernel, "[str(dtype) for dtype in found.dtypes][1]") == "Int64"
    assert value(kernel, "found.values.tolist()") == [["prices", 1]]
    kernel.run("from agno_nb import default_db, query\nasked = query('from prices').df()")
    assert value(kernel, "asked.values.tolist()") == [["demo", 2.5]]
    assert "runs is the store's table" in kernel.run("asked = query('from runs').df()").printed
    assert value(kernel, "len(asked) == len(default_db().runs_df())") is True
    kernel.run("del asked")
    unknown = kernel.run("%agent_sql select * from pricess", expect="error")
    assert "there is no table 'pricess'. The store's tables: sessions, runs" in unknown.content["evalue"]
    assert "Your DataFrames: found, prices, runs." in unknown.content["evalue"]
    assert (
        "the query is not a single read-only statement"
        in kernel.run("%%agent_sql\ndelete from raw_runs", expect="error").content["evalue"]
    )


def test_a_cached_answer_calls_no_model_says_so_and_costs_nothing(kernel: Kernel) -> None:
    kernel.run(
        "calls = []\ndef price(item: str) -> float:\n    'Price of an item.'\n    calls.append(item)\n    return 2.5\n"
        "shop = Agent(DemoModel(), name='shop', tools=[price], add_history_to_context=True)"
    )
    kernel.run("%agent --replay on")
    assert kernel.run("%agent --replay").shown == "cache  on"
    first = [kernel.run(f"%%agent shop -s one\n{text}") for text in ('price(item="tea")', "What did I ask?")]
    again = [kernel.run(f"%%agent shop -s two\n{text}") for text in ('price(item="tea")', "What did I ask?")]
    assert [reply.shown for reply in again] == [f"{reply.shown}\n\n(cached: no model was called)" for reply in first]
    assert value(kernel, "calls") == ["tea"]
    frame = store(kernel).runs_df(session_id=["one", "two"])
    assert frame["replay_of_run_id"].tolist()[2:] == frame["run_id"].tolist()[:2]
    assert frame["context_hash"].tolist()[:2] == frame["context_hash"].tolist()[2:]
    assert frame[["total_tokens", "cost"]].tail(2).values.tolist() == [[0, 0.0], [0, 0.0]]
    messages = store(kernel).messages_df(session_id="two")
    assert messages["role"].tolist() == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert "cached" not in kernel.run('%%agent shop -s three --fresh\nprice(item="tea")').shown
    assert "cached" not in kernel.run('%%agent shop -s four -u ada\nprice(item="tea")').shown
    kernel.run("def price(item: str) -> float:\n    'Price of an item.'\n    return 3.0\nshop.tools = [price]")
    assert "3.0" in kernel.run('%%agent shop -s five\nprice(item="tea")').shown


def test_a_tool_that_is_redefined_is_called_with_its_new_code(kernel: Kernel) -> None:
    kernel.run("def fee(item: str) -> float:\n    'Fee of an item.'\n    return 2.5")
    assert kernel.run("%agent tools fee").shown.startswith("tools: ")
    assert "2.5" in kernel.run('%%agent\nfee(item="tea")').shown
    kernel.run("def fee(item: str) -> str:\n    'Fee of an item.'\n    return 'nothing'")
    assert "nothing" in kernel.run('%%agent\nfee(item="tea")').shown
    kernel.run("del fee")
    assert "nothing" in kernel.run('%%agent\nfee(item="cake")').shown


@pytest.mark.versions
def test_our_objects_show_themselves_and_do_not_dump(kernel: Kernel) -> None:
    kernel.run("def price(): 'x'\nshop = Agent('demo', name='shop', tools=[price])")
    kernel.run("%%agent shop\nhello <b>you</b>")
    for expression, told in (
        ("_agent", "demo model"),
        ("_agent.context()", "prompt"),
        ("shop", "price"),
        ("shop.get_session(_agent.session_id)", "hello &lt;b&gt;you&lt;/b&gt;"),
    ):
        data = kernel.run(expression).outputs[0]["content"]["data"]
        assert told in data["text/html"]
        assert "<b>" not in data["text/html"]
        assert len(data["text/plain"]) < 600


def test_a_model_string_with_a_server_and_a_variable_that_holds_a_model(kernel: Kernel) -> None:
    with StrictServer() as server:
        text = f"openai:local@{server.base_url}"
        assert f"model: {text}" in kernel.run(f"%agent --model {text}").shown
        server.will_say(says("Hello."), says("Quick."))
        assert "Hello." in kernel.run("%%agent\nHi.").shown
        kernel.run(f"from agno_nb import OpenAIChat\nfast = OpenAIChat('fast', base_url='{server.base_url}')")
        assert f"model: openai:fast@{server.base_url}" in kernel.run("%agent --model fast").shown
        assert "Quick." in kernel.run("%%agent\nHi again.").shown
        assert server.refused == []
        assert [request.body["model"] for request in server.requests] == ["local", "fast"]
    refused = kernel.run("%agent --model openai:m@http://ada:love1ace@localhost:8081/v1", expect="error")
    assert "has a user and a password" in refused.content["evalue"]
    assert "love1ace" not in str(refused.content)
    kernel.run("%agent --model demo")


@pytest.mark.versions
@pytest.mark.parametrize(
    ("code", "offered"),
    [
        ("%agent --mo|", ["%agent --model"]),
        ("%agent --model op|", ["%agent --model openai:gpt-5-mini", "%agent --model openrouter:openai/gpt-5-mini"]),
        ("%agent --model fa|", ["%agent --model fast"]),
        ("%%agent -m vl|\nhello", ["%%agent -m vllm:"]),
        ("%agent --rerun b|", ["%agent --rerun branch"]),
        ("%agent ren|", ["%agent rename"]),
        ("%agent use sh|", ["%agent use shop"]),
        ("%agent tools pric|", ["%agent tools price"]),
        ("%agent tools get_ip|", []),
        ("%agent resume for-comp|", ["%agent resume for-completion"]),
        ("%%agent -s for-comp|\nhello", ["%%agent -s for-completion"]),
        ("%%agent --fr|\nhello", ["%%agent --fresh"]),
        ("%%agent sho|\nhello", ["%%agent shop"]),
        ("%%agent -f js|\nhello", ["%%agent -f json"]),
        ("%%agent\nabout {sho|", ["%%agent\nabout {shop"]),
        ("%%agent\nabout sho|", []),
        ("%%agent_sql\nselect * from sess|", ["%%agent_sql\nselect * from sessions"]),
        (
            "%%agent_sql\nselect r.run_i| from runs as r",
            ["%%agent_sql\nselect r.run_id", "%%agent_sql\nselect r.run_index"],
        ),
        ("%%agent_sql\nselect qu| from stock", ["%%agent_sql\nselect quantity"]),
        ("%agent_sql select qu| from stock", ["%agent_sql select quantity"]),
        ("%age|", ["%agent", "%agent_sql"]),
        ("sho|", ["shop"]),
    ],
)
def test_completion(kernel: Kernel, code: str, offered: list[str]) -> None:
    kernel.run("from agno_nb import Agent, DemoModel\nfast, shop = DemoModel(), Agent('demo')\ndef price(): 'x'")
    kernel.run("import pandas as pd; stock = pd.DataFrame({'quantity': [1]})")
    if "for-comp" in code:
        kernel.run("%%agent -s for-completion\nhello")
    found = completions(kernel, code)
    if code.startswith(("%agent", "%%agent")):
        assert found == offered
    else:  # Completion outside of the magics is unchanged.
        assert set(offered) <= set(found)


@pytest.mark.versions
def test_settings_come_from_the_environment_and_from_a_file(
    start_kernel: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in {"DB": "talks.duckdb", "HISTORY": "2", "REPLAY": "true", "INSTRUCTIONS_FILE": "told.md"}.items():
        monkeypatch.setenv(f"AGNO_NB_{name}", text)
    (tmp_path / "told.md").write_text("Answer like a pirate.")
    kernel = start_kernel()
    kernel.run("%load_ext agno_nb")
    shown = kernel.run("%agent").shown
    assert "talks.duckdb" in shown
    assert "the last 2 runs" in shown
    assert "from told.md" in shown
    kernel.run("%%agent\nhello")
    assert value(kernel, "_agent.context().parts[0].text").startswith("Answer like a pirate.")
    kernel.run("%unload_ext agno_nb")
    kernel.run("%config AgnoNb", expect="error")
    assert completions(kernel, "%agent --mo|") == []
    monkeypatch.setenv("AGNO_NB_HISTORY", "some")
    kernel.run("import os; os.environ['AGNO_NB_HISTORY'] = 'some'")
    assert "invalid AGNO_NB_HISTORY='some'" in kernel.run("%load_ext agno_nb", expect="error").content["evalue"]


@pytest.mark.versions
def test_the_magics_work_with_autoreload(kernel: Kernel) -> None:
    kernel.run("%load_ext autoreload\n%autoreload 2")
    (kernel.folder / "told.py").write_text("text = 'one'")
    kernel.run("import told")
    (kernel.folder / "told.py").write_text("text = 'number two'")
    assert "number two" in kernel.run("%%agent\nI see {told.text}").shown
    kernel.run("%autoreload 0")


@pytest.mark.versions
def test_the_magics_work_under_capture_time_and_run_cell(kernel: Kernel) -> None:
    kernel.run("%%capture held\nget_ipython().run_cell_magic('agent', '', 'hello')")
    assert value(kernel, "len(held.outputs)") == 1
    kernel.run("%%time\nget_ipython().run_cell_magic('agent', '-o timed', 'hello')")
    assert value(kernel, "timed.status") == "COMPLETED"
    assert value(kernel, "get_ipython().run_cell('%%agent -o ran\\nhello').success and ran.run_index") == 2
