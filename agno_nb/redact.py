"""What is taken out of text before anybody sees it: keys, what a terminal would obey, and halves of characters.

This is the one place that knows what a key looks like.

Errors, outputs and rows go through :func:`redact` before anybody sees them, because servers like to repeat the key
that they refuse.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

REDACTED = "[redacted]"

# A shorter value is more likely to be a word of the text than a key, and so is one word of letters: "postgres" is the
# password of many local databases.
_SHORTEST_SECRET = 8
_WORD = re.compile(r"(?:[A-Za-z]?[a-z]{1,14}|[A-Z]{1,15})")
# What the name of an environment variable ends in. "2" is for names such as OPENAI_API_KEY_2.
_SECRET_VARIABLE = re.compile(
    r"(?:PASSWORD|PASSWD|PASSPHRASE|API[_-]?KEY|_PWD|(?:^|[_.-])(?:PASS|TOKEN|SECRET|SECRET_KEY|ACCESS_KEY))[_\d]*\Z",
    re.I,
)
# These may also hold the name of a column or a file, so that the value has to look like a key.
_KEY_VARIABLE = re.compile(r"(?:^|[_.-])(?:KEY|PAT|AUTH|CREDENTIALS?|CREDENTIALS_JSON)[_\d]*\Z", re.I)
_CONNECTION_VARIABLE = re.compile(r"(?:URL|URI|DSN|PROXY|CONN_STR|CONNECTION_STRING|CONNSTR)[_\d]*\Z", re.I)
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[\\/][\w.@ -]+)+[\\/]?")
_PASSWORD_IN_CONNECTION = re.compile(
    r"://[^\s/@:]*:(?P<url>.+)@ | (?:^|[;\s])(?:password|pwd|accountkey|sharedaccesskey)\s*=\s*(?P<field>[^;\s]+)",
    re.I | re.VERBOSE,
)
_OTHER_SHAPES = r"""
      \b AIza [\w*-]{30,}                     # Google
    | \b (?:gh[pousr]|github_pat)_ \w{20,}    # GitHub
    | \b hf_ \w{20,}                          # Hugging Face
    | \b A[KS]IA [A-Z0-9]{16} \b              # the id of an access key of AWS
"""
_BEARER = r"""(?<=\bBearer\ ) [^\s"',;]{8,}"""
_SHAPES_WITHOUT_HYPHENS = re.compile(_OTHER_SHAPES, re.VERBOSE)
# OpenAI, OpenRouter, Anthropic; Slack; "*" as in the half-masked echo of a key.
_WITH_HYPHENS = r"\b (?P<hyphens> (?: sk | xox[a-z] | xapp ) - [\w*-]{12,} )"
_SHAPES_OF_KEYS = re.compile(rf"{_BEARER} | {_WITH_HYPHENS} | {_OTHER_SHAPES}", re.VERBOSE)
# Each part stops at a slash, so that the time is linear. Placeholders, as in documentation and templates, stay.
_URL_PASSWORD = re.compile(
    r"""(://[^\s/@:"'<>]*+:)(?!(?:pass(?:word|wd)?|secret|\$?\{[^\s/@{}]*+\}|\$\w*+|\[redacted\])@)[^\s/@"'<>]++(?=@)""",
    re.I,
)
_DIGIT = re.compile(r"[\d*]")
_MARKS = (
    *("sk-", "AIza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "Bearer "),
    *("xox", "xapp-", "AKIA", "ASIA"),
)
"""What every shape of a key begins with."""
_remembered: frozenset[str] = frozenset()


def remember_secret(secret: str) -> None:
    """Have :func:`redact` take `secret` out of every text of this process from now on."""
    global _remembered
    if _is_distinctive(secret):
        _remembered |= {secret}


def redact(text: str) -> str:
    """Replace every key in `text` by ``[redacted]``.

    A key is what a model of this process was given, the value of an environment variable that is named like one
    (``…_API_KEY``, ``TOKEN``, ``PGPASSWORD``), a password in a URL, and whatever has the shape of a well-known
    provider's key. Values of fewer than eight characters, and single words of up to 15 letters, are not redacted
    because of where they come from.

    Examples
    --------
    >>> redact("Incorrect API key provided: sk-proj-4f9a8b7c6d5e4f3a2b1c.")
    'Incorrect API key provided: [redacted].'
    """
    return redactor()(text)


def redactor() -> Callable[[str], str]:
    """Return :func:`redact` for many texts: the environment is looked through once, now."""
    known = set(_remembered)
    for name in os.environ:
        # Reading a value takes longer than classifying its name, and each transaction does this.
        if (find_secrets := _find_secrets_by(name)) is not None:
            known.update(filter(_is_distinctive, find_secrets(os.environ.get(name, ""))))
    return _redactor(frozenset(known))


@lru_cache(maxsize=1_000)
def _find_secrets_by(variable: str) -> Callable[[str], Iterable[str]] | None:
    """Return what finds the secrets in the value of an environment variable of this name; None if it holds none."""
    if _SECRET_VARIABLE.search(variable):
        return lambda value: [value]
    if _KEY_VARIABLE.search(variable):
        return lambda value: [value] if _looks_like_key(value) else []
    return _passwords_in if _CONNECTION_VARIABLE.search(variable) else None


def _is_distinctive(value: str) -> bool:
    return len(value) >= _SHORTEST_SECRET and _WORD.fullmatch(value) is None


def _looks_like_key(value: str) -> bool:
    return _DIGIT.search(value) is not None and not any(map(str.isspace, value)) and _PATH.fullmatch(value) is None


def _passwords_in(connection: str) -> Iterator[str]:
    """Find the passwords in a URL or a connection string."""
    for match in _PASSWORD_IN_CONNECTION.finditer(connection):
        password = match["url"] or match["field"]
        yield from (password, unquote(password))


@lru_cache(maxsize=1)
def _redactor(known: frozenset[str]) -> Callable[[str], str]:
    spelt = {spelling for secret in known for spelling in _spellings(secret)}
    # The longest first, so that a key that begins with another one does not leave its tail behind.
    secrets = sorted(spelt, key=len, reverse=True)

    def without_keys(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, REDACTED)
        if "@" in text and "://" in text:
            text = _URL_PASSWORD.sub(rf"\1{REDACTED}", text)
        # The search for shapes takes 60 ns a character, and nearly no text holds the beginning of one.
        for mark in _MARKS:
            if mark in text:
                return _SHAPES_OF_KEYS.sub(_redacted, text)
        return text

    return without_keys


def _redacted(match: re.Match[str]) -> str:
    # A key has a digit; words joined by hyphens have none. A lookahead for it takes quadratic time on "sk-sk-sk-".
    if match["hyphens"] is None or _DIGIT.search(match["hyphens"]):
        return REDACTED
    return _SHAPES_WITHOUT_HYPHENS.sub(REDACTED, match["hyphens"])


def _spellings(secret: str) -> Iterator[str]:
    """Give a secret as it is, and as JSON text has it that stands by itself or within other JSON text."""
    yield secret
    for ensure_ascii in (True, False):
        within = json.dumps(secret, ensure_ascii=ensure_ascii)[1:-1]
        yield within
        yield json.dumps(within)[1:-1]


def without_userinfo(url: str) -> str:
    """Replace the user and password of a URL that may be malformed: a password with a slash looks like a path.

    Examples
    --------
    >>> without_userinfo("http://ada:pass/word@localhost:8000/v1")
    'http://[redacted]@localhost:8000/v1'
    """
    return _USERINFO.sub(f"{REDACTED}@", url)


def without_secrets(value: Any) -> Any:
    """Return a copy of a JSON value or of headers without the entries that are named like a secret or hold a key."""
    if isinstance(value, Mapping):
        kept = {name: part for name, part in value.items() if not is_secret_name(str(name))}
        return {name: without_secrets(part) for name, part in kept.items() if not _holds_key(part)}
    if isinstance(value, list | tuple):
        return [without_secrets(part) for part in value if not _holds_key(part)]
    return value


def is_secret_name(name: str) -> bool:
    """Whether a header or a setting of this name holds a secret, as ``api-key`` and ``Authorization`` do."""
    return _SECRET_NAMES.search(name) is not None


def _holds_key(value: Any) -> bool:
    return isinstance(value, str) and redact(value) != value


def displayable(text: str) -> str:
    """Return `text` without keys and control characters: what may be shown of text from a model, a tool or a server.

    Every display goes through it: terminals, outputs of cells, errors, warnings and reprs. The store keeps the text.
    """
    # A control character within a key would hide it from the search for keys.
    return redact(without_controls(text))


def without_controls(text: str) -> str:
    r"""Remove the characters that change how other text is shown; half characters become U+FFFD.

    These are the controls that a terminal obeys, all but newline and tab; overrides and isolates of the direction of
    text; and invisible characters. Joiners stay between letters and within emoji that are made of several.

    Examples
    --------
    >>> without_controls("\x1b]0;owned\x07safe\u202etxt.exe\r\n")
    ']0;ownedsafetxt.exe\n'
    """
    return _CONTROLS.sub("", whole_characters(text))


def whole_characters(text: str) -> str:
    r"""Put halves of characters together, and U+FFFD for each that is without its other half.

    Halves are surrogates: those of a UTF-16 pair, and those that stand for the bytes of a character
    (``surrogateescape``). They come from names of files, from text that was cut in the middle of a character, and from
    servers. UTF-8 has none, so that such text can be neither stored nor sent nor shown.

    Examples
    --------
    >>> whole_characters("a\ud83d\ude00b\ud83d") == "a\N{GRINNING FACE}b\N{REPLACEMENT CHARACTER}"
    True
    >>> whole_characters("\udce2\udc82\udcac")
    '€'
    """
    if _SURROGATES.search(text) is None:
        return text
    text = _BYTES.sub(lambda found: found[0].encode("utf-8", "surrogateescape").decode("utf-8", "replace"), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class CharacterJoiner:
    r"""Joins the pieces of a text that may be cut in the middle of characters.

    Examples
    --------
    >>> joiner = CharacterJoiner()
    >>> [joiner.add("a\ud83d"), joiner.add("\ude00b"), joiner.flush()] == ["a", "\N{GRINNING FACE}b", ""]
    True
    """

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """Return what is whole of `piece`, with what an earlier piece ended in; an unfinished end is held back."""
        if not self._half and (piece.isascii() or _SURROGATES.search(piece) is None):
            return piece
        text = self._half + piece
        unfinished = _UNFINISHED.search(text)
        self._half = unfinished[0] if unfinished else ""
        return whole_characters(text[: len(text) - len(self._half)])

    def flush(self) -> str:
        """Return U+FFFD for an end that nothing finished."""
        half, self._half = self._half, ""
        return whole_characters(half)


_SURROGATES = re.compile("[\ud800-\udfff]")
_BYTES = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]+")
_UNFINISHED = re.compile(
    "[\ud800-\udbff]\\Z"
    "|(?<![\ud800-\udbff])"
    "(?:[\udcc2-\udcf4]|[\udce0-\udcf4][\udc80-\udcbf]|[\udcf0-\udcf4][\udc80-\udcbf]{2})\\Z"
)
"""An end of text that is the beginning of a character."""
_SECRET_NAMES = re.compile(
    r"auth(?!or)|secret|passw|cookie|credential|signature|api.?key|(?:^|[-_. ])(?:key|token)$", re.I
)
_USERINFO = re.compile(r"(?<=://).*@|^(?![\w+.-]+://).*@", re.DOTALL)
_CONTROLS = re.compile(
    # C0 and C1, the soft hyphen, marks and embeddings of direction, invisible operators, deprecated formats, the
    # byte-order mark and annotations.
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
    # Joiners outside of the scripts and emoji that need them.
    r"|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
    # Tag characters, unless they follow the black flag, as in the flag of Scotland.
    r"|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+"
)
