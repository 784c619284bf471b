"""A real ipykernel, used like a front end does."""

from __future__ import annotations

import json
import queue
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

WAIT_S = 60


@dataclass
class Reply:
    """The result of a cell."""

    status: str
    content: dict[str, Any]
    outputs: list[dict[str, Any]] = field(default_factory=list)
    """The messages on iopub, in order: each has `msg_type`, `content` and `metadata`."""

    @property
    def shown(self) -> str:
        """The final text of the cell's displays."""
        return "\n".join(output["content"]["data"].get("text/plain", "") for output in self.displays().values())

    @property
    def printed(self) -> str:
        return "".join(o["content"]["text"] for o in self.outputs if o["msg_type"] == "stream")

    def displays(self) -> dict[str, dict[str, Any]]:
        """The last state of each display, by display id, or by position without one."""
        last: dict[str, dict[str, Any]] = {}
        for place, output in enumerate(self.outputs):
            if output["msg_type"] in ("display_data", "update_display_data", "execute_result"):
                last[output["content"].get("transient", {}).get("display_id", str(place))] = output
        return last


class Kernel:
    """One kernel in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_answering = True
        """Whether all that was asked of it was answered."""
        # A server names the file so, after its id of the kernel.
        connection_file = str(folder / f"kernel-{uuid.uuid4()}.json")
        self.manager = KernelManager(kernel_name="python3", connection_file=connection_file)
        self.manager.start_kernel(cwd=str(folder))
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=WAIT_S)

    def run(
        self,
        code: str,
        *,
        cell_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_output: Callable[[dict[str, Any]], None] = lambda output: None,
        expect: str = "ok",
    ) -> Reply:
        """Execute a cell as JupyterLab would, or with the metadata of another front end, and wait for its end."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        message = self.client.session.msg("execute_request", content)
        if cell_id is not None:
            message["metadata"]["cellId"] = cell_id
        message["metadata"].update(metadata or {})
        self.is_answering = False
        self.client.shell_channel.send(message)
        outputs = list(self._outputs_of(message["header"]["msg_id"], on_output))
        while True:
            answer = self.client.get_shell_msg(timeout=WAIT_S)
            if answer["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                break
        self.is_answering = True
        reply = Reply(answer["content"]["status"], answer["content"], outputs)
        assert reply.status == expect, reply
        return reply

    def _outputs_of(self, msg_id: str, on_output: Callable[[dict[str, Any]], None]) -> Iterator[dict[str, Any]]:
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=WAIT_S)
            except queue.Empty:
                raise AssertionError("the kernel has said nothing for a minute") from None
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return
            if message["msg_type"] not in ("status", "execute_input"):
                on_output(message)
                yield message

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def kill(self) -> None:
        """End the process at once with SIGKILL."""
        self.manager.signal_kernel(signal.SIGKILL)
        # It waits for the process. Alone it would interrupt the kernel first, which ends a run as cancelled.
        self.manager.shutdown_kernel(now=True)

    def close(self) -> None:
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def start_kernel(tmp_path: Path) -> Iterator[Callable[[], Kernel]]:
    """Start kernels that share the test's folder."""
    started: list[Kernel] = []

    def start() -> Kernel:
        started.append(Kernel(tmp_path))
        return started[-1]

    yield start
    for kernel in started:
        kernel.close()


class UsedKernel:
    """A kernel for test after test: to start one takes a second, to clear it a tenth of that."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kernel: Kernel | None = None
        self._environ = "{}"

    def cleared(self, folder: Path) -> Kernel:
        """Return the kernel as it would be if it had been started in `folder`, with the extension loaded."""
        if self._kernel is None or not self._kernel.is_answering:
            self.close()
            self._kernel = Kernel(self._folder)
            self._environ = self._kernel.run("import json, os; print(json.dumps(dict(os.environ)))").printed
        kernel = self._kernel
        kernel.folder = folder
        kernel.run("%unload_ext agno_nb")
        kernel.run("%reset -f")
        kernel.run(
            f"import os; os.chdir({str(folder)!r})\n"
            f"os.environ.clear(); os.environ.update({json.loads(self._environ)!r}); del os"
        )
        kernel.run("%load_ext agno_nb")
        return kernel

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()


@pytest.fixture(scope="session")
def used_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsedKernel]:
    used = UsedKernel(tmp_path_factory.mktemp("kernel"))
    yield used
    used.close()


@pytest.fixture
def kernel(used_kernel: UsedKernel, tmp_path: Path) -> Kernel:
    """A kernel with the extension loaded, in which nothing else was done that a cell can see."""
    return used_kernel.cleared(tmp_path)


@pytest.fixture
def new_kernel(start_kernel: Callable[[], Kernel]) -> Kernel:
    """A process of the test's own, with the extension loaded."""
    one = start_kernel()
    one.run("%load_ext agno_nb")
    return one
