"""Output schemas."""

from __future__ import annotations

import subprocess

# In a process of its own: here it may have been imported long before.
ASKED = """
import sys, threading
from agno_nb import Agent, FunctionModel

def answer(messages, tools):
    for thread in threading.enumerate():
        if thread.name == "agno_nb-jsonschema":
            thread.join()
    print("jsonschema" in sys.modules)
    return '{"city": "Rome"}'

assert "jsonschema" not in sys.modules
print(Agent(FunctionModel(answer)).run("Where?", output_schema={"type": "object"}).content)
"""


def test_what_checks_an_answer_is_loaded_while_the_model_is_asked(python: str) -> None:
    told = subprocess.run([python, "-c", ASKED], capture_output=True, text=True, check=False)
    assert told.stdout.splitlines() == ["True", "{'city': 'Rome'}"], told.stderr
