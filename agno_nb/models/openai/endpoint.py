"""Where a request goes and which keys may go with it.

The SDK sends the user's OpenAI key, organization and project to any `base_url`. Here a key that was found in the
environment goes only to the hosts of its own provider, and to the URL that the provider's own variable names.
"""

from __future__ import annotations

import ipaddress
import os
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from agno_nb.errors import InvalidInputError
from agno_nb.models.openai.profiles import PROFILES, Profile
from agno_nb.redact import is_secret_name, redact, remember_secret, without_userinfo

if TYPE_CHECKING:
    import httpx2

C = TypeVar("C")

_SECRET_PARAMETERS = ("code", "pass", "pat", "pwd", "sig")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Unseen(str):
    """Text that a traceback with local variables does not show."""

    def __repr__(self) -> str:
        return "'[redacted]'"


def environment(name: str) -> str:
    """Read an environment variable; one that is blank counts as unset."""
    return os.environ.get(name, "").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server, as far as it is known without asking it."""

    base_url: str
    """May have a query such as ``?api-version=...``, which each request repeats."""
    provider: str
    """A name of `PROFILES`; for any other server its host."""
    profile: Profile
    host: str
    """Host and port, for people to read. Never holds a password."""
    key_variables: tuple[str, ...]
    """Environment variables whose keys may be sent there."""
    needs_key: bool
    """Whether it is known to answer nobody without a key."""
    basic_auth: Unseen = field(default=Unseen(), repr=False)
    """User and password of the URL, as the value of the Authorization header. They take precedence over a key
    of the environment."""

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

    @property
    def base_url_and_query(self) -> tuple[str, dict[str, str]]:
        """`base_url` without its query, and the query: paths go between them."""
        base_url, _, query = self.base_url.partition("?")
        return base_url, dict(parse_qsl(query, keep_blank_values=True))

    def key_in_environment(self) -> str:
        """Read the key that may be sent there; "" when there is none."""
        return Unseen(next((key for name in self.key_variables if (key := environment(name))), ""))

    def refuse_other_origin(self, request: httpx2.Request) -> None:
        """Raise unless `request` goes to the origin of `base_url`: an event hook for redirects.

        Clients drop at most the Authorization header on the way to another origin. Azure's `api-key` and the prompt
        (on 307 and 308) would go there.

        Raises
        ------
        OtherOrigin
        """
        from httpx2 import URL

        if request.url.origin != URL(self.base_url).origin:
            raise OtherOrigin(
                f"{self} redirected the request to another server, {_origin(request.url)}, and nothing was sent there. "
                "If that is the server you want, set base_url to its URL."
            )

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
            When the URL is not an HTTP one, or its query holds a key.
        """
        at_home = PROFILES[home]
        base_url, basic_auth = _without_credentials(
            base_url or environment(at_home.base_url_variable) or at_home.base_url
        )
        url = _split(base_url)
        _refuse_key_in_query(url)
        host = _host(url)
        owner = next((name for name, known in PROFILES.items() if _is_among(host, known.hosts)), "")
        provider = provider or owner or host
        variables = list(PROFILES[owner].key_variables) if owner else []
        for known in PROFILES.values():
            moved_to, _ = _without_credentials(environment(known.base_url_variable) if known.base_url_variable else "")
            if moved_to.rstrip("/") == base_url.rstrip("/"):
                variables.extend(known.key_variables)
        return cls(
            base_url=base_url,
            provider=provider,
            profile=profile or PROFILES.get(provider, Profile()),
            host=host,
            key_variables=tuple(dict.fromkeys(variables)),
            needs_key=bool(owner and PROFILES[owner].key_variables),
            basic_auth=basic_auth,
        )


class OtherOrigin(Exception):
    """A redirect led to another origin."""


def connected(make: Callable[[], C]) -> C:
    """Make an HTTP client.

    Raises
    ------
    InvalidInputError
        The proxy that the environment names cannot be used. The message does not repeat it, because of the password.
    """
    from httpx2 import InvalidURL

    try:
        return make()
    except (ValueError, InvalidURL, ImportError) as error:
        reason = "it needs the package socksio" if isinstance(error, ImportError) else "it is not a valid URL"
    # Raised out here, because the frames of the error hold the URL.
    raise InvalidInputError(
        f"cannot use the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY: {reason}; write it like 'http://localhost:3128'"
    )


def _origin(url: httpx2.URL) -> str:
    """Write scheme, host and port, the host in ASCII: other letters may look like those of another host."""
    host = url.raw_host.decode("ascii")
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}{port}"


_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@|^[^/?#]*@")


def _without_credentials(base_url: str) -> tuple[str, Unseen]:
    """Split ``user:password@`` off a URL; return the URL and the Authorization header that they make.

    In the URL they would be in the log of each request.
    """
    match = _CREDENTIALS.search(base_url)
    if match is None:
        return base_url, Unseen()
    credentials = unquote(match[0][:-1])
    token = b64encode(credentials.encode()).decode()
    for secret in (match[0][:-1], credentials, credentials.partition(":")[2], token):
        remember_secret(secret)
    return base_url[: match.start()] + base_url[match.end() :], Unseen(f"Basic {token}")


def _split(base_url: str) -> SplitResult:
    try:
        url = urlsplit(base_url)
        usable = url.scheme in _DEFAULT_PORTS and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        shown = redact(without_userinfo(base_url).partition("?")[0])
        raise InvalidInputError(
            f"the base URL {shown!r} is not one of a model server: write it like 'http://localhost:8000/v1'"
        )
    return url


def _refuse_key_in_query(url: SplitResult) -> None:
    # The HTTP client logs the URL of each request, with its query.
    for name, value in parse_qsl(url.query):
        if is_secret_name(name) or name.lower() in _SECRET_PARAMETERS or redact(value) != value:
            raise InvalidInputError(
                f"the query of the base URL has {redact(name)!r}, which looks like a key, and URLs are logged; pass "
                "it as `api_key`, or in a header with extra_headers={'api-key': ...}"
            )


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
