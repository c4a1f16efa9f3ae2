"""Writers open, append, crash, end and are audited in any order; a model knows what must hold."""

import os
import shutil
import signal
import tempfile
from collections import Counter
from pathlib import Path

import orjson
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from observability.journal import Journal
from replay.audit.audit import audit
from replay.findings import Verdict
from replay.trace.line import check

MOST_WRITERS = 3


class Actor:
    """A process with one journal, which does what it is told and answers when that returned."""

    def __init__(self, out: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._commands)
                os.close(self._answers)
                self._act(out, commands, answers)
            finally:
                os._exit(0)
        os.close(commands)
        os.close(answers)
        self.path = Path(self._answer())

    @staticmethod
    def _act(out: Path, commands: int, answers: int) -> None:
        journal = Journal(out, "step_04_any", run_id="r", durability="none")
        os.write(answers, str(journal.trace_path).encode() + b"\n")
        for command in iter(lambda: os.read(commands, 1), b""):
            if command == b"c":
                journal.close()
                os.write(answers, b"done\n")
                return  # processes forked later hold the pipe open: it has no end
            number = int(os.read(commands, 8), 16)
            journal.append("tick", {"n": number, "text": "x" * (number * 997 % 5000)})
            os.write(answers, b"done\n")

    def _answer(self) -> str:
        said = b""
        while not said.endswith(b"\n"):
            data = os.read(self._answers, 4096)
            assert data, "the process is gone"
            said += data
        return said.decode().strip()

    def append(self, number: int) -> None:
        os.write(self._commands, b"a%08x" % number)
        assert self._answer() == "done"

    def close(self) -> None:
        os.write(self._commands, b"c")
        assert self._answer() == "done"
        self._reap()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        os.close(self._commands)
        os.waitpid(self.pid, 0)
        os.close(self._answers)


class AnyOrder(RuleBasedStateMachine):
    """What is known from outside: which calls returned, and who was killed."""

    def __init__(self) -> None:
        super().__init__()
        self.out = Path(tempfile.mkdtemp())
        self.actors: list[Actor] = []
        self.written: Counter[int] = Counter()
        self.unproven: set[Path] = set()
        self.content: dict[Path, bytes] = {}
        self.next = 0

    def teardown(self) -> None:
        for actor in self.actors:
            actor.kill()
        shutil.rmtree(self.out)

    def files(self) -> list[Path]:
        return sorted((self.out / "audit" / "step_04").glob("trace_04*.jsonl"))

    @precondition(lambda self: len(self.actors) < MOST_WRITERS)
    @rule()
    def open(self) -> None:
        before = {path: path.stat().st_size for path in self.files()}
        actor = Actor(self.out)
        self.actors.append(actor)
        began = before.get(actor.path, 0)
        opened = orjson.loads(actor.path.read_bytes()[began:].split(b"\n")[0])
        if follows := opened.get("follows"):
            self.unproven.discard(self.out / follows["path"])

    @precondition(lambda self: self.actors)
    @rule(data=st.data(), times=st.integers(1, 5))
    def append(self, data: st.DataObject, times: int) -> None:
        actor = data.draw(st.sampled_from(self.actors))
        for _ in range(times):
            self.next += 1
            actor.append(self.next)
            self.written[self.next] += 1

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        actor = data.draw(st.sampled_from(self.actors))
        self.actors.remove(actor)
        actor.close()

    @precondition(lambda self: self.actors)
    @rule(data=st.data(), torn=st.integers(0, 400))
    def crash(self, data: st.DataObject, torn: int) -> None:
        """Kill a writer; what it was about to write may be there in part."""
        actor = data.draw(st.sampled_from(self.actors))
        self.actors.remove(actor)
        actor.kill()
        begun = b'{"v":1,"seq":99,"timestamp":"' + b"2" * 400
        with actor.path.open("ab") as file:
            file.write(begun[:torn])
        self.unproven.add(actor.path)

    @invariant()
    def nothing_is_lost_doubled_or_changed(self) -> None:
        found: Counter[int] = Counter()
        for path in self.files():
            content = path.read_bytes()
            assert content.startswith(self.content.get(path, b""))
            self.content[path] = content
            for line in content.split(b"\n")[:-1]:
                fields = check(line + b"\n")
                found.update([fields["n"]] if fields["event_type"] == "tick" else [])
        assert found == self.written

    @invariant()
    def the_verdict_is_the_models(self) -> None:
        if not (self.out / "audit").exists():
            return
        report = audit(str(self.out))
        whole = not self.actors and not self.unproven
        wanted = Verdict.COMPLETE if whole else Verdict.INTACT_PREFIX
        assert report.verdict is wanted, report.findings


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
