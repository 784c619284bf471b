"""Where a request goes and which keys may go with it.

The SDK sends the user's OpenAI key, organization and project to any `base_url`. Here a key that was found in the
environment goes only to the hosts of its own provider, and to the URL that the provider's own variable names.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from agno_nb.errors import InvalidInputError
from agno_nb.models.openai.profiles import PROFILES, Profile
from agno_nb.redact import redact

_DEFAULT_PORTS = {"http": 80, "https": 443}


def environment(name: str) -> str:
    """Read an environment variable; one that is blank counts as unset."""
    return os.environ.get(name, "").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server, as far as it is known without asking it."""

    base_url: str
    provider: str
    """A name of `PROFILES`; for any other server its host."""
    profile: Profile
    host: str
    """Host and port, for people to read. Never holds a password."""
    key_variables: tuple[str, ...]
    """Environment variables whose keys may be sent there."""
    needs_key: bool
    """Whether it is known to answer nobody without a key."""

    @property
    def is_openai_account(self) -> bool:
        """Whether what belongs to the user's OpenAI account, organization and project, may be sent there."""
        return "OPENAI_API_KEY" in self.key_variables

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent: it is encrypted or stays on this machine."""
        return urlsplit(self.base_url).scheme == "https" or self.is_local

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")

    def key_in_environment(self) -> str:
        """Read the key that may be sent there; "" when there is none."""
        return next((key for name in self.key_variables if (key := environment(name))), "")

    def __str__(self) -> str:
        return self.host if self.provider == self.host else f"{self.provider} at {self.host}"

    @classmethod
    def find(
        cls, *, home: str, base_url: str | None = None, provider: str = "", profile: Profile | None = None
    ) -> Endpoint:
        """Find out where `base_url` leads.

        Parameters
        ----------
        home : str
            The name in `PROFILES` whose URL is the default.
        base_url : str, optional
            None is where `home` is: the URL that its environment variable names, else its own.
        provider : str, optional
            Who serves it, if the caller knows; else it is told from the URL.
        profile : Profile, optional
            The knobs to use instead of those of the provider.

        Raises
        ------
        InvalidInputError
            When the URL is not an HTTP one.
        """
        at_home = PROFILES[home]
        base_url = base_url or environment(at_home.base_url_variable) or at_home.base_url
        url = _split(base_url)
        host = _host(url)
        owner = next((name for name, known in PROFILES.items() if _is_among(host, known.hosts)), "")
        provider = provider or owner or host
        variables = list(PROFILES[owner].key_variables) if owner else []
        for known in PROFILES.values():
            moved_to = environment(known.base_url_variable) if known.base_url_variable else ""
            if moved_to.rstrip("/") == base_url.rstrip("/"):
                variables.extend(known.key_variables)
        return cls(
            base_url=base_url,
            provider=provider,
            profile=profile or PROFILES.get(provider, Profile()),
            host=host,
            key_variables=tuple(dict.fromkeys(variables)),
            needs_key=bool(owner and PROFILES[owner].key_variables),
        )


def _split(base_url: str) -> SplitResult:
    try:
        url = urlsplit(base_url)
        usable = url.scheme in _DEFAULT_PORTS and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInputError(
            f"the base URL {redact(base_url)!r} is not one of a model server: write it like 'http://localhost:8000/v1'"
        )
    return url


def _host(url: SplitResult) -> str:
    name = url.hostname or ""
    name = "localhost" if _is_loopback(name) else name
    return name if url.port in (None, _DEFAULT_PORTS[url.scheme]) else f"{name}:{url.port}"


def _is_among(host: str, hosts: tuple[str, ...]) -> bool:
    return any(host.endswith(known) if known.startswith(".") else host == known for known in hosts)


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
