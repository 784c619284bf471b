"""Variables in prompts, and braces that are left unchanged."""

from __future__ import annotations

import hashlib
import math
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from agno_nb.errors import InvalidInputError
from agno_nb.notebook.variables import TEXT_LIMIT, InjectedPrompt, inject
from agno_nb.types import Variable


@dataclass
class Place:
    name: str = "Rome"
    _secret: str = "s3cret"

    @property
    def broken(self) -> str:
        raise RuntimeError("the sensor is off")

    def __str__(self) -> str:
        return f"the city of {self.name}"


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no words for it")


NAMESPACE: dict[str, Any] = {
    "name": "Ada",
    "n": 3,
    "ratio": 0.5,
    "none": None,
    "items": ["a", {"b": 1}],
    "config": {"model": "gpt", "deep": {"x": [1, 2]}, "with space": "ok", "it's": "quoted"},
    "place": Place(),
    "größe": 7,
    "big": 1234567,
    "day": date(2026, 11, 30),
    "tricky": "{n} and {name}",
}


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("Hello {name}!", "Hello Ada!"),
        ("{n}{n} {ratio} {none}", "33 0.5 None"),
        ("{items}", '["a", {"b": 1}]'),
        ("{items[0]} {items[-1]}", 'a {"b": 1}'),
        ("{items[1]['b']}", "1"),
        ('{config["model"]} {config["with space"]}', "gpt ok"),
        ('{config["it\'s"]}', "quoted"),
        ("{config['deep']['x'][1]}", "2"),
        ("{place} / {place.name}", "the city of Rome / Rome"),
        ("{größe}", "7"),
        ('{"user": {"name": {name}}}', '{"user": {"name": Ada}}'),
        ("data_{name}.csv costs ${n}", "data_Ada.csv costs $3"),
        ("{tricky}", "{n} and {name}"),
        ("{ratio:.2f} {ratio:.0%} {n:02d} {n:+d} {big:,} {big:.1e}", "0.50 50% 03 +3 1,234,567 1.2e+06"),
        ('{name!r} {name!s} {größe!a} {config["model"]:>10}|{items[0]:_^5}', "'Ada' Ada 7        gpt|__a__"),
        ("{name!r:>6} {n!s:3}|{place.name:*<6} {config['deep']['x'][1]:03}", " 'Ada' 3  |Rome** 002"),
        ("{day:%d.%m.%Y} {day:%Y}", "30.11.2026 2026"),
    ],
)
def test_what_the_notebook_defines_is_filled_in_once(prompt: str, text: str) -> None:
    injected = inject(prompt, NAMESPACE)
    assert (injected.text, injected.warnings) == (text, [])


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "no braces",
        "{}",
        "{ name }",
        "{{name}}",
        "{{ name }}",
        "{name!q} {n=} {name!r } {name:} {n:.2f }",
        # Code, and not formats: dicts, sets of mathematics, CSS, type hints.
        "{n:1} {n:m} {n: 1} {n: m} {n:-1} {n:0.5} {n:n>0} {n: n > 0} {n:[1]} {n:'a'} {n:10px} {name: Ada} {name:str}",
        "{n: n for n in items} {n: len(name)}",
        "print(f\"{name} has {len(items)} items: {ratio:.2f}\"); return f'{n}'",
        'text = f"""\n{name}\n{len(name)}\n"""',
        "{n+1} {n * 2} {-n} {not n} {n, name} {name if n else n}",
        # Calls, but not of names that are defined here; sets; LaTeX; C and Jinja.
        "{len(nmae)} {upper(name)} {f(x)} {print('hello')} {len(name), len(items)} {*list(items)}",
        r"\frac{len(name)}{abs(n)} x^{abs(n)} ${abs(n)}",
        "```python\nsizes = {len(name)}\n```",
        "{ len(name) } {{len(name)}} {{ len(name) }} {len(name);} {len(name",
        "{items[n]} {items[0:1]} {items[:]} {config[model]} {items[1.5]}",
        "{0} {1.5} {'name'} {name. upper}",
        '{"a": 1, "b": [2, 3]}',
        "{\n  name\n}",
        "function f() {return {a: 1};} if (x) {y()} else {z = 1}",
        "{class} {if} {None} {True}",
        r"\frac{a}{b} \begin{align} x^{k} \sqrt[3]{y}",
        "${HOME} and {{x}}",
        "{name",
        "name}",
        "{{{",
        "}}}{",
        "{na\nme}",
        '{config["mo\\del"]}',
        "{unknown.attribute} {unknown[0]}",
    ],
)
def test_every_other_brace_stays_as_it_was_typed(prompt: str) -> None:
    assert inject(prompt, NAMESPACE) == InjectedPrompt(text=prompt)


@pytest.mark.parametrize(
    "call",
    [
        "len(name)", "name.upper()", "place.name.upper()", "len(items):,", "abs(ratio)!r:>6", "items[0].count('a')",
        "len(items) * 2", "sum(abs(i) for i in items)", "round(ratio, 2)",
    ],
)  # fmt: skip
def test_a_call_is_not_evaluated_and_the_remedy_is_told_once(call: str) -> None:
    prompt = f"{{{call}}} and {{{call}}}, {{name}}"
    injected = inject(prompt, NAMESPACE)
    assert injected.text == prompt.replace("{name}", "Ada")
    assert injected.warnings == [
        f"{{{call}}} is sent unchanged: calls in prompts are not evaluated; assign the result to a variable first, "
        "and use its name"
    ]


def test_a_format_that_a_value_does_not_have_stays_and_is_told() -> None:
    frame = pd.DataFrame({"n": [1]})
    injected = inject("{name:.2f} {frame:.2f} {items:>9} {nmae:.2f} {frame!r:.3}", {**NAMESPACE, "frame": frame})
    assert injected.text == "{name:.2f} {frame:.2f} {items:>9} {nmae:.2f}    "
    assert injected.warnings == [
        "{name:.2f} is sent unchanged: Unknown format code 'f' for object of type 'str'",
        "{frame:.2f} is sent unchanged: unsupported format string passed to DataFrame.__format__",
        "{items:>9} is sent unchanged: unsupported format string passed to list.__format__",
        "{nmae:.2f} is sent unchanged: there is no variable 'nmae'",
    ]


def test_a_derivative_is_not_an_f_string() -> None:
    assert inject("y = f'(x) + {n}, z = f' + {n} for g'(x)", NAMESPACE).text == "y = f'(x) + 3, z = f' + 3 for g'(x)"


def test_a_plain_name_that_is_not_defined_is_told_once_by_name() -> None:
    injected = inject("{nmae} {name} {nmae} {other}", NAMESPACE)
    assert injected.text == "{nmae} Ada {nmae} {other}"
    assert injected.warnings == [
        "{nmae} is sent unchanged: there is no variable 'nmae'",
        "{other} is sent unchanged: there is no variable 'other'",
    ]


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("place.nope", "Place has no attribute 'nope'"),
        ("place._secret", "'_secret' is private"),
        ("place.__class__", "'__class__' is private"),
        ("items[9]", "list has no item 9"),
        ("items['a']", "list has no item 'a'"),
        ('config["nope"]', "dict has no key 'nope'"),
        ("n[0]", "int has no item 0"),
        ("math", "it is a module, not a value"),
        ("f", "it is a function, not a value"),
        ("Place", "it is a type, not a value"),
        ("name.upper", "it is a builtin_function_or_method, not a value"),
    ],
)
def test_a_path_that_leads_nowhere_stays_and_is_told(expression: str, reason: str) -> None:
    namespace = {**NAMESPACE, "math": math, "f": lambda: 1, "Place": Place}
    prompt = f"about {{{expression}}}"
    assert inject(prompt, namespace) == InjectedPrompt(
        text=prompt, warnings=[f"{{{expression}}} is sent unchanged: {reason}"]
    )


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("place.broken", r"cannot read \{place.broken\} in the prompt: RuntimeError: the sensor is off"),
        ("thing", r"cannot read \{thing\} in the prompt: ValueError: no words for it"),
    ],
)
def test_a_value_that_cannot_be_read_is_an_error_that_names_it(expression: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{message}$"):
        inject(f"about {{{expression}}}", {**NAMESPACE, "thing": Unprintable()})


def test_reading_a_defaultdict_puts_nothing_in_it() -> None:
    counts: defaultdict[str, int] = defaultdict(int)
    inject('{counts["a"]}', {"counts": counts})
    assert counts == {}


def test_what_was_filled_in_is_recorded_once_with_its_hash() -> None:
    injected = inject("{name}, {items[0]}, {name}", NAMESPACE)
    assert injected.variables == [
        Variable(name="name", type="str", hash=_hash("Ada"), chars=2 * 3),
        Variable(name="items[0]", type="str", hash=_hash("a"), chars=1),
    ]
    assert inject("{ratio:.2f}", NAMESPACE).variables == [
        Variable(name="ratio:.2f", type="float", hash=_hash("0.50"), chars=4)
    ]


def test_a_long_text_is_cut_and_both_readers_are_told() -> None:
    injected = inject("{text}", {"text": "x" * (TEXT_LIMIT + 1234)})
    assert injected.text == "x" * TEXT_LIMIT + "\n… (cut here: 1,234 more characters)"
    assert injected.warnings == ["{text} has 51,234 characters; the model gets the first 50,000"]
    assert [variable.cut for variable in injected.variables] == [True]


def test_a_frame_becomes_its_schema_and_first_rows() -> None:
    frame = pd.DataFrame({"species": ["Adelie", "Gentoo, big"] * 500, "mass_g": [3700.0, 5000.5] * 500})
    injected = inject("{penguins}", {"penguins": frame})
    assert injected.text == (
        "DataFrame, 1,000 rows x 2 columns\n"
        f"Columns: species ({frame.dtypes['species']}), mass_g (float64)\n"
        "First 5 rows as CSV:\n"
        "species,mass_g\n"
        'Adelie,3700.0\n"Gentoo, big",5000.5\nAdelie,3700.0\n"Gentoo, big",5000.5\nAdelie,3700.0'
    )
    assert injected.variables == [
        Variable(
            name="penguins",
            type="pandas.DataFrame",
            shape=(1000, 2),
            dtypes={"species": str(frame.dtypes["species"]), "mass_g": "float64"},
            hash=_hash(injected.text),
            chars=len(injected.text),
        )
    ]


def test_a_figure_goes_along_as_an_image() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    axes = figure.subplots()
    axes.plot([1, 2])
    injected = inject("What do {figure} and {axes} show?", {"figure": figure, "axes": axes})
    assert injected.text == "What do [image figure.png] and [image axes.png] show?"
    assert [(image.kind, image.mime_type, image.filename) for image in injected.images] == [
        ("image", "image/png", "figure.png"),
        ("image", "image/png", "axes.png"),
    ]
    first, second = injected.images
    assert first.content is not None
    assert first.content.startswith(b"\x89PNG")
    assert first.content == second.content == inject("{figure}", {"figure": figure}).images[0].content
    assert injected.variables[0].type == "matplotlib.Figure"


def test_a_figure_is_not_sent_to_a_model_that_reads_text_only() -> None:
    from matplotlib.figure import Figure

    injected = inject("What does {figure} show?", {"figure": Figure()}, sees_images=lambda: False)
    assert injected.text == "What does {figure} show?"
    assert (injected.images, injected.variables) == ([], [])
    assert injected.warnings == ["{figure} is sent unchanged: it is an image, which the model does not accept"]


def test_a_frame_with_an_index_of_its_own_shows_it() -> None:
    frame = pd.DataFrame({"n": [1, 2]}, index=pd.Index(["a", "b"], name="key"))
    assert inject("{df}", {"df": frame}).text.endswith("First 2 rows as CSV:\nkey,n\na,1\nb,2")


def test_odd_frames_can_be_written() -> None:
    wide = pd.DataFrame(np.zeros((1, 150)))
    assert "99 (float64), … and 50 more\n" in inject("{df}", {"df": wide}).text
    assert inject("{df}", {"df": pd.DataFrame()}).text == "DataFrame, 0 rows x 0 columns\nColumns: none"
    doubled = pd.DataFrame([[1, "x" * 300]], columns=["a", "a"])
    assert inject("{df}", {"df": doubled}).text.endswith(f"a,a\n1,{'x' * 200}…")
    grouped = pd.DataFrame({"n": [1]}, index=pd.MultiIndex.from_tuples([("a", 1)]))
    assert inject("{df}", {"df": grouped}).text.endswith("""index,n\n"('a', 1)",1""")


def test_a_series_becomes_its_dtype_and_first_values() -> None:
    counts = pd.Series([152, 124], index=["Adelie", "Gentoo"], name="count")
    assert inject("{s}", {"s": counts}).text == (
        "Series 'count', 2 values, dtype int64\nFirst 2 values with their index as CSV:\nAdelie,152\nGentoo,124"
    )
    frame = pd.DataFrame({"n": range(100)})
    injected = inject("{frame['n']}", {"frame": frame})
    assert injected.text.startswith("Series 'n', 100 values, dtype int64\nFirst 20 values as CSV:\n0\n1\n")
    assert [(variable.type, variable.shape) for variable in injected.variables] == [("pandas.Series", (100,))]


def test_an_array_becomes_its_shape_and_corners() -> None:
    injected = inject("{a}", {"a": np.arange(6).reshape(2, 3)})
    assert injected.text == "array of shape (2, 3), dtype int64:\n[[0 1 2]\n [3 4 5]]"
    assert [(variable.type, variable.shape) for variable in injected.variables] == [("numpy.ndarray", (2, 3))]
    assert len(inject("{a}", {"a": np.zeros((1000, 1000))}).text) < 1000
    assert inject("{a}", {"a": np.float64(1.5)}).text == "1.5"


def test_what_json_cannot_say_is_written_as_python() -> None:
    assert inject("{x}", {"x": {"a": {1, 2}}}).text == "{'a': {1, 2}}"
    assert inject("{x}", {"x": ("ä", 1)}).text == '["ä", 1]'


def test_pandas_and_numpy_are_not_imported_for_it(python: str) -> None:
    code = (
        "from agno_nb.notebook.variables import inject; import sys\n"
        "print(inject('{a} {b}', {'a': [1], 'b': object}).text, sorted({'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[1] {b} []\n", "")


@given(st.text(alphabet="{}[]()\"'.$\\ \nab0_-:", max_size=40))
def test_any_prompt_can_be_read_and_without_variables_stays(prompt: str) -> None:
    assert inject(prompt, {}).text == prompt


@given(st.text(max_size=30))
def test_any_value_is_filled_in_as_it_is(value: str) -> None:
    assert inject("<{x}|{x}>", {"x": value}).text == f"<{value}|{value}>"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
