"""The ``%%agent`` cell: replace variables, find the turn, run the agent and show the answer."""

from __future__ import annotations

import copy
import sys
from argparse import Namespace

from IPython.core.interactiveshell import InteractiveShell

from agno_nb.agent.agent import Agent
from agno_nb.errors import AgnoNbError, InvalidInputError, RunInterrupted
from agno_nb.notebook import human_in_the_loop
from agno_nb.notebook.cell_info import current_execution, read_cell_info
from agno_nb.notebook.cells import TurnSlot
from agno_nb.notebook.commonmark import lossless_parser
from agno_nb.notebook.displays import show_note
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.variables import InjectedPrompt, inject
from agno_nb.printing import choose_display, drive
from agno_nb.run.entrypoints import discard_unused_copy
from agno_nb.run.options import RunOptions
from agno_nb.run.runnable import Runnable
from agno_nb.types import RunOutput, new_id

FORMATS = ("md", "text", "json", "code")
"""Values of ``%%agent -f``."""

_PYTHON = ("", "python", "py", "python3", "ipython")


def run_cell(notebook: Notebook, shell: InteractiveShell, args: Namespace, text: str) -> None:
    """Run a cell. ``_agent`` and the variable of ``-o`` are assigned the run, even if it failed."""
    if not text:
        raise InvalidInputError("the cell has no prompt; write it on the lines below %%agent")
    runnable = notebook.runnable_named(args.name) if args.name else notebook.runnable
    if args.model:
        runnable = notebook.copy_with_model(runnable, args.model)
    prompt = inject(text, shell.user_ns, sees_images=lambda: sees_images(runnable))
    for warning in prompt.warnings:
        print(warning, file=sys.stderr)
    if args.format == "text":
        runnable = _without_markdown(runnable)
    options = notebook.options(session_id=args.session, user_id=args.user) | _prompt_options(prompt, args, notebook)
    slot = _assign_slot(notebook, shell, runnable, args, options)
    run: RunOutput | None = None
    try:
        events = runnable.run(prompt.text, stream=True, stream_events=True, **options)
        display = choose_display(None, live=True, markdown=args.format != "text")
        run = drive(events, display)
        if args.ask:
            run = human_in_the_loop.ask_at_prompt(notebook, runnable, run, options)
        else:
            human_in_the_loop.show_approval_widget(runnable, run, display)
    except (AgnoNbError, RunInterrupted) as error:
        run = error.run_output
        human_in_the_loop.show_how_to_continue(notebook, runnable, error)
        raise
    finally:
        if run is not None:
            shell.user_ns["_agent"] = run
            if args.output is not None:
                shell.user_ns[args.output] = run
            notebook.cell_runs.show_stale_turns(slot, run)
        elif slot.branch_of is not None and (run_id := options.get("run_id")) is not None:
            discard_unused_copy(runnable.store, slot.session_id, run_id)
            if notebook.session_id == slot.session_id:
                notebook.session_id = slot.branch_of
    if args.format == "code":
        _insert_code(run, shell)


def _assign_slot(
    notebook: Notebook, shell: InteractiveShell, runnable: Runnable, args: Namespace, options: RunOptions
) -> TurnSlot:
    """Find the turn of the cell's run, and add it to `options`."""
    db, origin = runnable.current_db, read_cell_info(shell)
    session_id = notebook.session_of(runnable, options)
    options["origin"] = origin
    if db is None:
        return TurnSlot(session_id=session_id)
    user_id = options.get("user_id") or runnable.current_user_id
    rerun = args.rerun or notebook.settings.rerun
    slot = notebook.cell_runs.assign_slot(db, session_id, origin, current_execution(shell), rerun, user_id)
    options["session_id"], options["run_index"] = slot.session_id, slot.run_index
    if slot.branch_of is not None:
        options["run_id"] = new_id()
        if args.session is None:
            # The next cells continue in the branch.
            notebook.use_session(slot.session_id)
    return slot


def _prompt_options(prompt: InjectedPrompt, args: Namespace, notebook: Notebook) -> RunOptions:
    options = RunOptions(variables=prompt.variables, cache=notebook.settings.cache and not args.fresh)
    if prompt.images:
        options["images"] = prompt.images
    if args.no_history:
        options["add_history_to_context"] = False
    if args.format == "json":
        # The prompt describes the object.
        options["output_schema"] = {"type": "object"}
    return options


def _without_markdown(runnable: Runnable) -> Runnable:
    if not isinstance(runnable, Agent):
        raise InvalidInputError(f"-f text requires an agent, got {runnable!r}")
    plain = copy.copy(runnable)
    plain.markdown = False
    return plain


def sees_images(runnable: Runnable) -> bool:
    """Return whether the runnable accepts images. The steps of a workflow decide for themselves."""
    return not isinstance(runnable, Agent) or runnable.resolved_model.sees_images


def _insert_code(run: RunOutput, shell: InteractiveShell) -> None:
    """Insert the fenced Python code of an answer as the next cell."""
    fences = (token for token in lossless_parser().parse(run.get_content_as_string()) if token.type == "fence")
    blocks = [token.content.strip("\n") for token in fences if "".join(token.info.split()[:1]).lower() in _PYTHON]
    code = "\n\n".join(block for block in blocks if block.strip())
    if code:
        shell.set_next_input(code, replace=False)
    else:
        show_note("there is no Python code in the answer, so no cell was inserted")
