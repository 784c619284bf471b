"""A server that speaks the protocol by hand, and breaks it as its first argument says. It needs no packages.

It counts its starts in the file that the second argument names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOW, STARTS = (sys.argv[1], Path(sys.argv[2])) if __name__ == "__main__" else ("", Path())
LONG = 3_000_000


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def requests() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


HARD_TO_CHECK: dict[str, dict[str, Any]] = {
    "pattern": {"type": "object", "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}},
    "pattern of names": {"type": "object", "patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
    "pattern in a dialect": {
        "type": "object",
        "properties": {"x": {"$schema": "https://json-schema.org/draft/2020-12/schema", "pattern": "^(a+)+$"}},
    },
    "references that multiply": {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/0"}},
        "$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(40)} | {"40": {}},
    },
    "reference to itself": {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/0"}},
        "$defs": {"0": {"$ref": "#/$defs/0"}},
    },
}
HARD = "a" * 40 + "!"


has_withdrawn = False


def tools() -> list[dict[str, Any]]:
    nothing = {"type": "object", "properties": {}}
    if HOW == "bad tools":
        return [
            {"name": "good", "inputSchema": nothing},
            {"name": "***", "inputSchema": nothing},
            {"name": "invalid", "inputSchema": {"type": "object", "properties": {"a": {"type": "wat"}}}},
            {"name": "remote", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "http://x/y.json"}}}},
            {"name": "broken", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}},
            {"name": "long", "inputSchema": {"type": "object", "properties": {"a": {"enum": ["x" * 100_000]}}}},
            {"name": "go.od", "inputSchema": nothing, "description": "<script>alert(1)</script>" + "x" * 20_000},
            {"name": "go od", "inputSchema": nothing},
        ]
    if HOW in HARD_TO_CHECK:
        return [{"name": "go", "inputSchema": HARD_TO_CHECK[HOW], "outputSchema": HARD_TO_CHECK[HOW]}]
    if HOW == "withdraws a tool" and not has_withdrawn:
        return [{"name": "go", "inputSchema": nothing}, {"name": "extra", "inputSchema": nothing}]
    output = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    return [
        {"name": "go", "inputSchema": nothing, **({"outputSchema": output} if HOW == "wrong schema" else {})},
        {"name": "starts", "inputSchema": nothing},
    ]


def result(text: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **more}


def go(request: dict[str, Any]) -> dict[str, Any] | None:
    """Misbehave in a call."""
    global has_withdrawn
    if HOW == "long progress":
        token = request["params"]["_meta"]["progressToken"]
        progress = {"progressToken": token, "progress": 1, "message": "x" * LONG}
        send({"method": "notifications/progress", "params": progress})
    if HOW == "withdraws a tool":
        has_withdrawn = True
        send({"method": "notifications/tools/list_changed"})
    if HOW == "dies":
        print("the disk is full; token hunter2hunter2-secret", file=sys.stderr, flush=True)
        os._exit(3)
    if HOW == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if HOW == "dies with a child":
        # The child holds stdout open, and a file, by which a test notices its end.
        with STARTS.with_suffix(".child").open("wb") as file:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=[file.fileno()])
        os._exit(3)
    if HOW == "hangs":
        signal.pause()
    if HOW == "is silent":
        return None
    if HOW == "garbage":
        print("Hello, I am a library that prints", flush=True)
    if HOW == "wrong schema":
        return result("{}", structuredContent={"n": "many"})
    if HOW in HARD_TO_CHECK:
        return {"content": [], "structuredContent": request["params"]["arguments"]}
    if HOW == "invalid result":
        return {"content": "no list"}
    if HOW == "huge":
        return result("x" * LONG)
    return result("done")


def main() -> None:
    STARTS.write_text(str(int(STARTS.read_text()) + 1 if STARTS.exists() else 1))
    if HOW == "starts badly":
        sys.exit("cannot find the configuration")
    if HOW == "starts never":
        signal.pause()
    if HOW == "ignores the end":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for request in requests():
        method, number = request["method"], request.get("id")
        if method == "initialize":
            capabilities = {"tools": {"listChanged": True}}
            version = request["params"]["protocolVersion"]
            send({"id": number, "result": {"protocolVersion": version, "capabilities": capabilities,
                                           "serverInfo": {"name": HOW, "version": "1"}}})  # fmt: skip
        elif method == "tools/list":
            send({"id": number, "result": {"tools": tools()}})
        elif method == "tools/call":
            name = request["params"]["name"]
            answer = result(STARTS.read_text()) if name == "starts" else go(request)
            if HOW.startswith("-") and name == "go":
                send({"id": number, "error": {"code": int(HOW), "message": "the quota is used up"}})
            elif answer is not None:
                send({"id": number, "result": answer})
        elif number is not None:
            send({"id": number, "result": {}})
    if HOW == "ignores the end":
        signal.pause()


if __name__ == "__main__":
    main()
