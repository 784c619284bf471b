"""What a ``%%agent`` cell does: fill in the prompt, find the turn, ask, show, and keep the answer."""

from __future__ import annotations

import sys
from argparse import Namespace

from IPython.core.interactiveshell import InteractiveShell

from agno_nb.agent.agent import Agent
from agno_nb.db.async_db import as_sync
from agno_nb.errors import AgnoNbError, InvalidInputError, RunInterrupted
from agno_nb.notebook import human_in_the_loop
from agno_nb.notebook.answers import insert_code, with_format
from agno_nb.notebook.cell_info import current_execution, read_cell_info
from agno_nb.notebook.cell_runs import Rerun, TurnSlot
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.variables import InjectedPrompt, inject
from agno_nb.printing import choose_display, drive
from agno_nb.run.options import RunOptions
from agno_nb.run.regenerate import discard_unused_copy
from agno_nb.run.runnable import Runnable
from agno_nb.types import RunOutput, new_id


def run_cell(notebook: Notebook, shell: InteractiveShell, args: Namespace, text: str) -> None:
    """Do what the cell says; ``_agent`` and the variable of ``-o`` hold the run, a failed one too."""
    if not text:
        raise InvalidInputError("there is nothing to answer: the cell has no prompt")
    runnable = notebook.runnable_named(args.name) if args.name else notebook.runnable
    if args.model:
        runnable = notebook.copy_with_model(runnable, args.model)
    prompt = inject(text, shell.user_ns, sees_images=lambda: sees_images(runnable))
    for warning in prompt.warnings:
        print(warning, file=sys.stderr)
    options = notebook.options(session_id=args.session, user_id=args.user)
    runnable, format_options = with_format(runnable, args.format)
    options |= _prompt_options(prompt, args, notebook)
    options |= format_options
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
        insert_code(run, shell)


def _assign_slot(
    notebook: Notebook, shell: InteractiveShell, runnable: Runnable, args: Namespace, options: RunOptions
) -> TurnSlot:
    """Find the turn that the cell's run belongs to, and write it into `options`."""
    db, origin = as_sync(runnable.db), read_cell_info(shell)
    session_id = notebook.session_of(runnable, options)
    options["origin"] = origin
    if db is None:
        return TurnSlot(session_id=session_id)
    user_id = options.get("user_id") or runnable.user_id
    rerun: Rerun = args.rerun or notebook.settings.rerun  # type: ignore[assignment] # The trait allows no other.
    slot = notebook.cell_runs.assign_slot(db, session_id, origin, current_execution(shell), rerun, user_id)
    options["session_id"], options["run_index"] = slot.session_id, slot.run_index
    if slot.branch_of is not None:
        options["run_id"] = new_id()
        if args.session is None:
            # The next cells go on in the branch.
            notebook.use_session(slot.session_id)
    return slot


def _prompt_options(prompt: InjectedPrompt, args: Namespace, notebook: Notebook) -> RunOptions:
    options = RunOptions(variables=prompt.variables, cache=notebook.settings.cache and not args.fresh)
    if prompt.images:
        options["images"] = prompt.images
    if args.no_history:
        options["add_history_to_context"] = False
    return options


def sees_images(runnable: Runnable) -> bool:
    """Whether an image may go to it. Who reads it in a workflow is the workflow's affair."""
    return not isinstance(runnable, Agent) or runnable.resolved_model.sees_images
