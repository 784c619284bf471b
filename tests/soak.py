"""Soak test of a store: writers that are killed and stopped, and a log of acknowledged writes outside the store.

    PYTHONPATH=contract python -m tests.soak --minutes 10 [--store sqlite] [--disk FOLDER]

Four processes write turns to one file, several at once. Some are killed (``kill -9``) at random and replaced, and the
process that holds the lock is stopped for a moment and continued. With ``--disk``, the store is in a folder on a small
file system of its own, which is filled up for a moment now and then; its writers end with the store's error. At the end
every acknowledged turn must be in the store, once and whole. The exit code is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agno_nb.db.duckdb import DuckDb
from agno_nb.db.group_commit import StoreCall
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import SessionBusyError, StoreError
from agno_nb.types import RunOutput, RunStatus
from agno_nb_store_contract.concurrency import ending, opening
from agno_nb_store_contract.conversation import answering, calling

KINDS = {"duckdb": DuckDb, "sqlite": SqliteDb}
SESSIONS = 3
"""Each shared by all writers, so that they also take turns in one session."""
WRITERS = 4
LONGEST_STOP_S = 1.5
DISK_FULL = 28
"""Exit code of a writer that found the disk full."""


def write(kind: str, path: Path, log: Path, name: str) -> None:
    """Write turns until the process is ended; note each in a log of its own as soon as it is acknowledged."""
    try:
        write_turns(KINDS[kind](path, lock_timeout_s=60.0), log, name)
    except StoreError as error:
        if "the disk has space" not in str(error):
            raise
        # Without closing the store: the end of a process without a disk is a crash.
        os._exit(DISK_FULL)


def write_turns(store: DuckDb | SqliteDb, log: Path, name: str) -> None:
    chance = random.Random(name)
    with log.open("a", encoding="utf-8") as acknowledged:
        for number in range(sys.maxsize):
            sessions = chance.sample(range(SESSIONS), chance.randint(1, SESSIONS))
            runs = open_together(store, {f"s{n}": f"{name} {number}.{n}" for n in sessions})
            for run in runs:
                run.messages.append(calling("f"))
            commit_together(store, [StoreCall(store.add_messages, (run, run.messages[-1:])) for run in runs])
            commit_together(store, [ending(store, run, f"answer to {run.input}", answering()) for run in runs])
            for run in runs:
                acknowledged.write(json.dumps([run.run_id, run.session_id, run.run_index, run.input]) + "\n")
            acknowledged.flush()
            if chance.random() < 0.2:
                time.sleep(chance.random() / 2)


def commit_together(store: DuckDb | SqliteDb, calls: Sequence[StoreCall]) -> None:
    for outcome in store.commit_together(calls):
        if outcome.error is not None:
            raise outcome.error


def open_together(store: DuckDb | SqliteDb, texts: Mapping[str, str]) -> list[RunOutput]:
    """Open a run in each session that no other writer is using, at least in one."""
    while True:
        opened = [opening(store, text, session_id=session_id) for session_id, text in texts.items()]
        outcomes = store.commit_together([call for _, call in opened])
        for outcome in outcomes:
            if outcome.error is not None and not isinstance(outcome.error, SessionBusyError):
                raise outcome.error
        if runs := [run for (run, _), outcome in zip(opened, outcomes, strict=True) if outcome.error is None]:
            return runs
        time.sleep(0.01)


@dataclass
class Soak:
    """The writers, with kills and stops."""

    kind: str
    folder: Path
    disk: Path | None
    """The folder of the store, if that is on a file system of its own."""
    chance: random.Random
    writers: dict[subprocess.Popen[bytes], Path] = field(default_factory=dict)
    """Each with its log."""
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def path(self) -> Path:
        return (self.disk or self.folder) / f"store.{self.kind}"

    def start(self) -> None:
        name = f"w{self.counts['writers']}"
        self.counts["writers"] += 1
        code = "import sys; from pathlib import Path; from tests.soak import write; "
        code += "write(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])"
        log = self.folder / f"{name}.log"
        # A warning of every writer that waits for a stopped one says nothing here.
        command = [sys.executable, "-W", "ignore", "-c", code, self.kind, self.path, log, name]
        self.writers[subprocess.Popen(command)] = log

    def run(self, seconds: float) -> None:
        for _ in range(WRITERS):
            self.start()
        until = time.monotonic() + seconds
        # Writers that fail by themselves would only do so again.
        while time.monotonic() < until and self.counts["failed"] < WRITERS:
            time.sleep(self.chance.uniform(0.1, 2.0))
            # Not one that is still starting, or on a busy machine no writer would come to write.
            begun = [writer for writer, log in self.writers.items() if log.exists() and log.stat().st_size > 0]
            if self.disk is not None and self.chance.random() < 0.3:
                self.fill(self.disk / "ballast")
            elif begun and self.chance.random() < 0.5:
                self.kill(self.chance.choice(begun))
            else:
                self.stop(self.holder())
            for writer in [writer for writer in self.writers if writer.poll() is not None]:
                del self.writers[writer]
                self.counts["failed"] += writer.returncode not in (-signal.SIGKILL, DISK_FULL)
                self.counts["found the disk full"] += writer.returncode == DISK_FULL
                self.start()
        for writer in self.writers:
            writer.kill()
            writer.wait()

    def kill(self, writer: subprocess.Popen[bytes]) -> None:
        writer.kill()
        writer.wait()
        self.counts["kills"] += 1

    def stop(self, writer: subprocess.Popen[bytes]) -> None:
        writer.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.05, LONGEST_STOP_S))
        writer.send_signal(signal.SIGCONT)
        self.counts["stops"] += 1

    def fill(self, ballast: Path) -> None:
        """Leave no space on the disk for a moment."""
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 10, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))
        time.sleep(self.chance.uniform(0.05, LONGEST_STOP_S))
        ballast.unlink()
        self.counts["full disks"] += 1

    def holder(self) -> subprocess.Popen[bytes]:
        """Return the process that has the lock, as far as its file tells."""
        with suppress(OSError, StopIteration):
            worker = Path(f"{self.path}.lock").read_bytes().split(b"\n")[1].split(b" ")[0]
            return next(writer for writer in self.writers if b":%d:" % writer.pid in worker)
        return self.chance.choice(list(self.writers))

    def acknowledged(self) -> Iterator[tuple[str, str, int, str]]:
        for log in self.folder.glob("*.log"):
            for line in log.read_text(encoding="utf-8").splitlines():
                # The last line of a killed writer may be cut off.
                with suppress(ValueError):
                    run_id, session_id, run_index, text = json.loads(line)
                    yield run_id, session_id, run_index, text

    def problems(self) -> list[str]:
        store = KINDS[self.kind](self.path)
        runs = {run.run_id: run for n in range(SESSIONS) for run in store.get_runs(f"s{n}")}
        found = [f"{self.counts['failed']} writers failed"] if self.counts["failed"] else []
        for run_id, session_id, run_index, text in self.acknowledged():
            self.counts["acknowledged"] += 1
            run = runs.get(run_id)
            if run is None:
                found.append(f"turn {text!r} was acknowledged and is lost")
            elif (run.session_id, run.run_index, run.status) != (session_id, run_index, RunStatus.COMPLETED):
                found.append(f"turn {text!r} is not as it was acknowledged: {run!r}")
        for run in runs.values():
            self.counts["stored"] += 1
            self.counts["unfinished"] += run.status is RunStatus.RUNNING
            said = [(message.role, message.content) for message in run.messages]
            whole = [("user", run.input), ("assistant", None), ("tool", "42"), ("assistant", f"answer to {run.input}")]
            allowed = [whole] if run.status is RunStatus.COMPLETED else [whole[:1], whole[:2]]
            if said not in allowed:
                found.append(f"run {run.run_id} is torn: {said}")
        places = Counter((run.session_id, run.run_index, run.attempt) for run in runs.values())
        found += [f"turn {place} is there {count} times" for place, count in places.items() if count > 1]
        found += [f"verify: {problem}" for problem in store.verify()]
        store.close()
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--store", choices=KINDS, default="duckdb")
    parser.add_argument("--disk", type=Path, default=None, help="a folder on a small file system of its own")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agno_nb-soak-") as folder:
        soak = Soak(options.store, Path(folder), options.disk, random.Random(options.seed))
        soak.run(options.minutes * 60)
        problems = soak.problems()
        counts = [f"{count} {name}" for name, count in soak.counts.items()]
        print(", ".join([*counts, f"{len(problems)} problems"]))
        print("\n".join(problems[:20]))
        if problems and "CI" not in os.environ:
            kept = Path(tempfile.mkdtemp(prefix="agno_nb-soak-failed-"))
            for file in Path(folder).iterdir():
                file.rename(kept / file.name)
            print(f"The files are in {kept}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
