"""Removal of keys, control characters and halves of characters from text.

This module defines what a key looks like. Errors, outputs and rows pass through :func:`redact`, because servers quote
the key that they reject.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

REDACTED = "[redacted]"

# In characters. Shorter values are more likely to be words than keys. So are single words of letters: "postgres" is
# the password of many local databases.
SHORTEST_SECRET = 8
_WORD = re.compile(r"(?:[A-Za-z]?[a-z]{1,14}|[A-Z]{1,15})")
# Suffixes of environment variables with secrets. The digits are for names such as OPENAI_API_KEY_2.
_SECRET_VARIABLE = re.compile(
    r"(?:PASSWORD|PASSWD|PASSPHRASE|API[_-]?KEY|_PWD|(?:^|[_.-])(?:PASS|TOKEN|SECRET|SECRET_KEY|ACCESS_KEY))[_\d]*\Z",
    re.I,
)
# These may also have the name of a column or a file, so that the value has to look like a key.
_KEY_VARIABLE = re.compile(r"(?:^|[_.-])(?:KEY|PAT|AUTH|CREDENTIALS?|CREDENTIALS_JSON)[_\d]*\Z", re.I)
_CONNECTION_VARIABLE = re.compile(r"(?:URL|URI|DSN|PROXY|CONN_STR|CONNECTION_STRING|CONNSTR)[_\d]*\Z", re.I)
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[\\/][\w.@ -]+)+[\\/]?")
_PASSWORD_IN_CONNECTION = re.compile(
    r"://[^\s/@:]*:(?P<url>.+)@ | (?:^|[;\s])(?:password|pwd|accountkey|sharedaccesskey)\s*=\s*(?P<field>[^;\s]+)",
    re.I | re.VERBOSE,
)
_OTHER_KEY = re.compile(
    r"""
      (?<=\b Bearer\ ) [^\s"',;]{8,}          # first, because a token may begin like one of the others
    | \b AIza [\w*-]{30,}                     # Google
    | \b (?:gh[pousr]|github_pat)_ \w{20,}    # GitHub
    | \b hf_ \w{20,}                          # Hugging Face
    | \b A[KS]IA [A-Z0-9]{16} \b              # the id of an access key of AWS
    """,
    re.VERBOSE,
)
# OpenAI, OpenRouter, Anthropic; Slack; "*" occurs in partly masked keys.
_KEY_WITH_HYPHENS = re.compile(r"\b(?:sk|xox[a-z]|xapp)-[\w*-]{12,}")
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
"""Prefixes of all key shapes."""
_remembered: frozenset[str] = frozenset()


def remember_secret(secret: str) -> None:
    """Make :func:`redact` remove `secret` from now on."""
    global _remembered
    if _is_distinctive(secret):
        _remembered |= {secret}


def redact(text: str) -> str:
    """Replace each key in `text` with ``[redacted]``.

    Keys are the API keys of models in this process, values of environment variables with names such as ``…_API_KEY``,
    ``TOKEN`` or ``PGPASSWORD``, passwords in URLs, and text with the shape of a well-known provider's key. Values of
    fewer than eight characters and single words of up to 15 letters are not redacted because of their source.

    Examples
    --------
    >>> redact("Incorrect API key provided: sk-proj-4f9a8b7c6d5e4f3a2b1c.")
    'Incorrect API key provided: [redacted].'
    """
    return redactor()(text)


def redactor() -> Callable[[str], str]:
    """Return :func:`redact` for many texts, which reads the environment once."""
    known = set(_remembered)
    for name in os.environ:
        # Reading a value takes longer than classifying its name, and each transaction does this.
        if (find_secrets := _find_secrets_by(name)) is not None:
            known.update(filter(_is_distinctive, find_secrets(os.environ.get(name, ""))))
    return _redactor(frozenset(known))


@lru_cache(maxsize=1_000)
def _find_secrets_by(variable: str) -> Callable[[str], Iterable[str]] | None:
    """Return a function that finds secrets in the value of an environment variable, or None for other variables."""
    if _SECRET_VARIABLE.search(variable):
        return lambda value: [value]
    if _KEY_VARIABLE.search(variable):
        return lambda value: [value] if _looks_like_key(value) else []
    return _passwords_in if _CONNECTION_VARIABLE.search(variable) else None


def _is_distinctive(value: str) -> bool:
    return len(value) >= SHORTEST_SECRET and _WORD.fullmatch(value) is None


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
    # The longest first, because one key may be the prefix of another.
    secrets = sorted(spelt, key=len, reverse=True)

    def without_keys(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, REDACTED)
        if "@" in text and "://" in text:
            text = _URL_PASSWORD.sub(rf"\1{REDACTED}", text)
        # The search for shapes takes 60 ns per character, and few texts contain a prefix.
        for mark in _MARKS:
            if mark in text:
                return _OTHER_KEY.sub(REDACTED, _KEY_WITH_HYPHENS.sub(_redacted, text))
        return text

    return without_keys


def _redacted(match: re.Match[str]) -> str:
    # Keys have digits, hyphenated words don't. A lookahead would take quadratic time on "sk-sk-sk-".
    return REDACTED if _DIGIT.search(match[0]) else match[0]


def _spellings(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as written in JSON and in JSON within JSON."""
    yield secret
    for ensure_ascii in (True, False):
        within = json.dumps(secret, ensure_ascii=ensure_ascii)[1:-1]
        yield within
        yield json.dumps(within)[1:-1]


def without_userinfo(url: str) -> str:
    """Replace user and password of a URL, which may be malformed: a password with a slash looks like a path.

    Examples
    --------
    >>> without_userinfo("http://ada:pass/word@localhost:8000/v1")
    'http://[redacted]@localhost:8000/v1'
    """
    return _USERINFO.sub(f"{REDACTED}@", url)


def without_secrets(value: Any) -> Any:
    """Return a copy of a JSON value or headers without entries that are keys or have the name of a secret."""
    if isinstance(value, Mapping):
        kept = {name: part for name, part in value.items() if not is_secret_name(str(name))}
        return {name: without_secrets(part) for name, part in kept.items() if not _holds_key(part)}
    if isinstance(value, list | tuple):
        return [without_secrets(part) for part in value if not _holds_key(part)]
    return value


def is_secret_name(name: str) -> bool:
    """Whether `name` denotes a secret, for example ``api-key`` or ``Authorization``.

    Examples
    --------
    >>> [name for name in ("api-key", "Authorization", "OAuth", "author", "keys") if is_secret_name(name)]
    ['api-key', 'Authorization', 'OAuth']
    """
    return _SECRET_NAMES.search(name) is not None


def _holds_key(value: Any) -> bool:
    return isinstance(value, str) and redact(value) != value


def displayable(text: str) -> str:
    """Return `text` without keys and control characters.

    Used for all text from models, tools and servers in terminals, cell outputs, errors, warnings and reprs. The store
    keeps the original.
    """
    # First the control characters, because a key may contain one.
    return redact(without_controls(text))


def without_controls(text: str) -> str:
    r"""Remove characters that change how other text is displayed; halves of characters become U+FFFD.

    These are control characters except newline and tab, directional overrides and isolates, and invisible characters.
    Joiners are kept between letters and within emoji sequences.

    Examples
    --------
    >>> without_controls("\x1b]0;owned\x07safe\u202etxt.exe\r\n")
    ']0;ownedsafetxt.exe\n'
    """
    return _CONTROLS.sub("", whole_characters(text))


def whole_characters(text: str) -> str:
    r"""Join halves of characters, and replace those without the other half with U+FFFD.

    Halves are surrogates: of UTF-16 pairs, or for the bytes of a character (``surrogateescape``). They come from file
    names, from text split in the middle of a character, and from servers. They cannot be encoded in UTF-8, so such text
    can be neither stored nor sent nor shown.

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
    r"""Joins pieces of text that may be split in the middle of characters.

    Examples
    --------
    >>> joiner = CharacterJoiner()
    >>> [joiner.add("a\ud83d"), joiner.add("\ude00b"), joiner.flush()] == ["a", "\N{GRINNING FACE}b", ""]
    True
    """

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """Return the complete characters so far; an incomplete end is kept for the next call."""
        if not self._half and (piece.isascii() or _SURROGATES.search(piece) is None):
            return piece
        text = self._half + piece
        incomplete = _INCOMPLETE_END.search(text)
        self._half = incomplete[0] if incomplete else ""
        return whole_characters(text[: len(text) - len(self._half)])

    def flush(self) -> str:
        """Return U+FFFD for an incomplete end, or an empty string."""
        half, self._half = self._half, ""
        return whole_characters(half)


_SURROGATES = re.compile("[\ud800-\udfff]")
_BYTES = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]+")
_INCOMPLETE_END = re.compile(
    "[\ud800-\udbff]\\Z"
    "|(?<![\ud800-\udbff])"
    "(?:[\udcc2-\udcf4]|[\udce0-\udcf4][\udc80-\udcbf]|[\udcf0-\udcf4][\udc80-\udcbf]{2})\\Z"
)
"""The start of a character at the end of a text."""
_SECRET_NAMES = re.compile(
    r"auth(?!or(?!iz))|secret|passw|cookie|credential|signature|api.?key|(?:^|[-_. ])(?:key|token)$", re.I
)
_USERINFO = re.compile(r"(?<=://).*@|^(?![\w+.-]+://).*@", re.DOTALL)
_CONTROLS = re.compile(
    # C0 and C1, the soft hyphen, marks and embeddings of direction, invisible operators, deprecated formats, the
    # byte-order mark and annotations.
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
    # Joiners next to ASCII, where no script or emoji needs them.
    r"|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
    # Tag characters, unless they follow the black flag, as in the flag of Scotland.
    r"|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+"
)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Show a warning as one line, each time.

    For warnings of a run in the background, which no line of the user's code has caused. :func:`warnings.warn` would
    show a line of this package instead, and the same message only once.
    """
    warnings.warn_explicit(displayable(message), category, filename="agno_nb", lineno=0, module="agno_nb")
