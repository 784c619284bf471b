"""Translation of SDK, HTTP and provider errors to agno_nb's."""

from __future__ import annotations

import html
import json
import re
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from agno_nb.errors import (
    ContentFilterError,
    ContextLengthError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelLoadingError,
    ModelNotFoundError,
    ModelRateLimitError,
    ModelRequestError,
    ModelServerError,
    ModelStreamError,
    ModelTimeoutError,
)
from agno_nb.models.openai.stream import ErrorStatus, Event
from agno_nb.models.openai.wire import as_text, parse_json
from agno_nb.models.retry import MAX_WAIT_S
from agno_nb.redact import redact
from agno_nb.types import JsonDict, as_list, shorten, to_amount

if TYPE_CHECKING:
    import httpx2

    from agno_nb.models.openai.profiles import Endpoint

CONNECT_TIMEOUT_S = 5.0
"""Time limit for opening a connection; an answer may take much longer."""

_LONGEST_QUOTE = 400
_LONGEST_MESSAGE = 4_000
_LONGEST_CODE = 100
_MAX_WAIT_S = 10**9

_MAX_ERRORS = 5
_LONGEST_PAGE = 100_000

_MESSAGE_FIELDS = ("message", "detail", "msg", "errors")
_HTML = re.compile(r"\s*<(?:!doctype|html|head|body|h1|title|center|p|div)\b", re.I)
_TAG = re.compile(r"<[^<>]*>")
_TITLE = re.compile(r"<(title|h1)\b[^<>]*>([^<]*+)(?=<)", re.I)
_CODE = re.compile(r"<(?:style|script)\b[^<>]*>[^<]*+", re.I)
_LOADING = re.compile(
    r"(?:currently|still|is) loading|being loaded|loading (?:the )?model|warming up|not (?:yet )?(?:ready|loaded)", re.I
)
"""How servers say that a model is not loaded yet, with status 503 or 500."""
_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
# vLLM and several proxies send only a message.
_CONTEXT_WORDS = re.compile(r"(maximum context length|context (length|size|window) .*exceed|exceed.* context)", re.I)
_FILTER_CODES = {"content_filter", "content_policy_violation", "moderation_blocked"}
_AUTHENTICATION_CODES = {"invalid_api_key", "authentication_error", "permission_denied", "permission_error"}
_RATE_CODES = {"rate_limit_exceeded", "rate_limit_error", "insufficient_quota", "too_many_requests"}
_NOT_FOUND_CODES = {"model_not_found", "not_found_error", "deployment_not_found"}
_REQUEST_CODES = {"invalid_request_error", "invalid_prompt", "unsupported_parameter", "unsupported_value"}


def model_error(error: Exception, endpoint: Endpoint, model: str, timeout_s: float) -> ModelError | None:
    """Translate an exception that was raised while sending a request or reading the answer.

    `error` is translated if it comes from the SDK, the HTTP client or the layers below; otherwise the result is None.
    `timeout_s` is the model's `timeout`.
    """
    import httpx2
    import openai

    if isinstance(error, ErrorStatus):
        try:
            body = parse_json(error.body)
        except ValueError:
            body = message_in(error.body)
        return provider_error(body, endpoint, model, response=error.response)
    if isinstance(error, httpx2.ConnectTimeout) or isinstance(error.__cause__, httpx2.ConnectTimeout):
        return ModelTimeoutError(
            f"{endpoint} cannot be reached: no connection within {min(timeout_s, CONNECT_TIMEOUT_S):g} seconds. Check "
            "the URL and the network."
        )
    if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
        return ModelTimeoutError(
            f"{endpoint} sent nothing for {timeout_s:g} seconds. Loading a model may take longer; raise `timeout` of "
            "the model, or try again."
        )
    # httpx2 doesn't translate anyio's EndOfStream when TLS fails (httpx2#854).
    kinds = openai.OpenAIError | httpx2.HTTPError | ssl.SSLError
    if not isinstance(error, kinds) and type(error).__name__ != "EndOfStream":
        return None
    # The SDK's message is only "Connection error."; its cause has the details.
    cause = error if isinstance(error, httpx2.HTTPError) else error.__cause__
    reason = _quote(str(cause or ""), label="Reason")
    if isinstance(cause, httpx2.ConnectError | httpx2.UnsupportedProtocol):
        advice = "start the server" if endpoint.is_local else "check the server and the network"
        if endpoint.is_local and endpoint.provider == "ollama":
            advice += " with `ollama serve`"
        return ModelConnectionError(f"{endpoint} cannot be reached; {advice}.{reason}")
    return ModelConnectionError(
        f"the connection to {endpoint} was lost before the end of the answer; try again.{reason}"
    )


def incomplete_error(endpoint: Endpoint, model: str, last_message: JsonDict, advice: str) -> ModelError:
    """Return the error for a stream that ended too early. `last_message` is the last frame with a message, or empty."""
    if last_message:
        return provider_error(last_message, endpoint, model)
    return ModelStreamError(
        f"the answer of {endpoint} is incomplete: the stream ended without a finish reason. Try again; if it happens "
        f"every time, {advice}."
    )


def content_filter_error(endpoint: Endpoint) -> ContentFilterError:
    return ContentFilterError(
        f"{endpoint} stopped the answer, because its content filter was triggered; rephrase the prompt",
        code="content_filter",
    )


def web_page_error(endpoint: Endpoint) -> ModelStreamError:
    return ModelStreamError(
        f"{endpoint} returned a web page instead of an answer; check the base URL, which usually ends in /v1, and that "
        "there is no login page or proxy in between",
        status_code=200,
    )


def unreadable_error(event: Event, endpoint: Endpoint, error: ValueError) -> ModelStreamError:
    """Return the error for a piece of an answer that cannot be parsed."""
    if event.is_document and event.data.startswith("<"):
        return web_page_error(endpoint)
    reason = f"is {error}" if "nested" in str(error) else "is not JSON"
    return ModelStreamError(
        f"{endpoint} sent a piece of the answer that {reason}, so the rest cannot be read. Try again; if it happens "
        f"every time, check the server and proxies.{_quote(message_in(event.data))}"
    )


def has_message(frame: JsonDict) -> bool:
    """Whether a frame without a piece of an answer may describe a failure. Some servers send no ``error`` field."""
    return not frame.keys().isdisjoint(_MESSAGE_FIELDS)


def message_in(text: str) -> str:
    """Return the error message in JSON that cannot be parsed; if there is none, the text itself."""
    match = _MESSAGE.search(text)
    with suppress(ValueError):
        return as_text(json.loads(match[1])) if match else as_text(text)
    return as_text(text)


_MESSAGE = re.compile(r'"(?:message|error|detail)"\s*:\s*("(?:[^"\\]|\\.)*+")', re.DOTALL)


def provider_error(
    body: object, endpoint: Endpoint, model: str, *, response: httpx2.Response | None = None
) -> ModelError:
    """Return the error for a failure reported by the provider.

    `body` is parsed JSON: depending on the server, an error object, an object with the key `error`, or a message.
    `response` has an error status; without it, as for failures in a stream, the code in the body is used.
    """
    fields = _error_fields(body)
    codes = {str(fields[key])[:_LONGEST_CODE] for key in ("code", "type") if isinstance(fields.get(key), str | int)}
    headers: Mapping[str, str] = {} if response is None else response.headers
    status_codes = [int(code) for code in codes if re.fullmatch(r"[45][0-9]{2}", code)]
    status_code = next(iter(status_codes), None) if response is None else response.status_code
    # Shortened, because the patterns of `_classify` take quadratic time.
    message = redact(fields["message"])[:_LONGEST_MESSAGE]
    kind, sentence = _classify(status_code, codes, message, endpoint, model)
    wait_s = retry_after_s(headers)
    if wait_s is not None and wait_s > MAX_WAIT_S:
        sentence += f" The server asks to wait {wait_s:,.0f} seconds."
    error = kind(
        sentence + _quote(message),
        status_code=status_code,
        code=redact(as_text(str(fields["code"])))[:_LONGEST_CODE] if fields.get("code") is not None else None,
        request_id=headers.get("x-request-id"),
    )
    error.retry_after_s = wait_s
    return error


def _error_fields(body: object) -> JsonDict:
    """Return code, type and message of an error. The message is a string, which may be empty."""
    if isinstance(body, list):
        errors = [_error_fields(each) for each in body[:_MAX_ERRORS] if isinstance(each, dict)]
        message = "; ".join(dict.fromkeys(each["message"] for each in errors if each["message"]))
        return {**(errors[0] if errors else {}), "message": message or as_text(body)}
    if not isinstance(body, dict):
        return _fields_in_text(as_text(body))
    within = _error_fields(body.get("error"))
    messages = (_error_fields(body.get(name))["message"] for name in _MESSAGE_FIELDS)
    message = within["message"] or next(filter(None, messages), "")
    # FastAPI names the field of the request that is wrong.
    place = ".".join(str(each) for each in as_list(body.get("loc")) if each != "body")
    own = {key: body[key] for key in ("code", "type") if body.get(key) is not None}
    return {**own, **within, "message": f"{place}: {message}" if place and message else message}


def _fields_in_text(text: str) -> JsonDict:
    """Return the fields of a message that may itself be HTML, or JSON of another server after some words.

    LiteLLM and other proxies quote the error of the server behind them.
    """
    if _HTML.match(text):
        return {"message": _text_of_page(text)}
    start, end = text.find("{"), text.rfind("}") + 1
    if 0 <= start < end:
        with suppress(ValueError, RecursionError):
            # Some quote it as Python bytes, with escaped line breaks.
            inner = _error_fields(parse_json(text[start:end].replace("\\n", "\n").replace("\\'", "'")))
            if inner["message"]:
                return inner
    return {"message": text}


def _text_of_page(page: str) -> str:
    """Return the title of a web page and its first heading, or its text if it has neither."""
    found = dict.fromkeys(" ".join(_TAG.sub(" ", match[2]).split()) for match in _TITLE.finditer(page[:_LONGEST_PAGE]))
    texts = [text for text in found if text]
    return html.unescape(": ".join(texts[:2]) or " ".join(_TAG.sub(" ", _CODE.sub(" ", page[:_LONGEST_PAGE])).split()))


def _classify(
    status: int | None, codes: set[str], message: str, endpoint: Endpoint, model: str
) -> tuple[type[ModelError], str]:
    """Choose the error class and message. Codes come before the status, because they are more specific."""
    if codes & _CONTEXT_CODES or (status in (None, 400, 413, 500) and _CONTEXT_WORDS.search(message)):
        return ContextLengthError, (
            f"the conversation exceeds the context length of {model!r} at {endpoint}; send fewer earlier runs "
            "(`num_history_runs`), or start a new session."
        )
    if status in (None, 500, 503) and _LOADING.search(message):
        return ModelLoadingError, f"{endpoint} is loading the model {model!r}."
    if codes & _FILTER_CODES:
        return (
            ContentFilterError,
            f"{endpoint} declined to answer, because its content filter was triggered; rephrase the prompt.",
        )
    if "insufficient_quota" in codes or status == 402:
        return (
            ModelRateLimitError,
            f"there is no quota or credit left at {endpoint}; check the billing of your account.",
        )
    if status == 401 or (status is None and codes & _AUTHENTICATION_CODES):
        names = " or ".join(endpoint.key_variables)
        where = f"the environment variable {names}" if names else "the model's `api_key`"
        return ModelAuthenticationError, f"{endpoint} rejected the API key; check {where}."
    if status == 403:
        return ModelAuthenticationError, f"{endpoint} does not allow this API key to use {model!r}."
    if status == 404 or codes & _NOT_FOUND_CODES:
        advice = f"run `ollama pull {model}`, or check the name" if endpoint.provider == "ollama" else "check the name"
        return ModelNotFoundError, (
            f"{endpoint} has no model {model!r}, or nothing at this URL; {advice} and the base URL."
        )
    if status == 429 or (status is None and codes & _RATE_CODES):
        return ModelRateLimitError, f"{endpoint} received too many requests; wait and try again."
    if status == 408:
        return ModelTimeoutError, f"{endpoint} took too long to answer; try again."
    if (status is not None and status < 500) or (status is None and codes & _REQUEST_CODES):
        return ModelRequestError, f"{endpoint} rejected the request to {model!r}."
    code = f" (HTTP {status})" if status else ""
    return ModelServerError, f"{endpoint} failed to answer{code}; try again."


def _quote(text: str, *, label: str = "Message") -> str:
    text = " ".join(redact(text).split())
    if not text:
        return ""
    return f" {label}: {shorten(text, _LONGEST_QUOTE)}"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the wait requested in `retry-after-ms` or `retry-after` (RFC 9110 10.2.3)."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            wait_s = float(milliseconds) / 1000
        elif (after := headers.get("retry-after")) is None:
            return None
        elif re.fullmatch(r"\s*[\d.]+\s*", after):
            wait_s = float(after)
        else:
            wait_s = parsedate_to_datetime(after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return to_amount(max(wait_s, 0.0), _MAX_WAIT_S)
