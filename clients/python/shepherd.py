"""Runs of agents and commands as values, from Python: start, step, fork, revert, grade, observe.

One file and nothing but the standard library (Python 3.8 or newer). It speaks to ``shepherd serve``, which it starts itself unless it is told where one
listens:

    from shepherd import Shepherd

    with Shepherd() as s:
        env = s.start(["true"], dir="/path/to/project").wait()
        env.step(["sh", "-c", "echo hello > greeting"])
        tries = env.fork(count=8)                       # eight copies of this moment, files and all
        for i, each in enumerate(tries):
            each.act("echo %d >> greeting" % i)         # a shell that keeps its directory and variables
        best = max(tries, key=lambda each: each.grade(["grep", "-q", "7", "greeting"]).ok)
        best.merge()                                    # into /path/to/project

Each command is a numbered step, written down before it acts, with all that it changed in the run's files. Nothing of yours changes before ``merge``.
Calls may come from any number of threads: each uses a connection of its own. What a call returns is durable: it outlives this process and the server.
"""

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Union

__all__ = [
    "Shepherd",
    "Run",
    "Step",
    "Grade",
    "End",
    "Merged",
    "Row",
    "ShepherdError",
    "WorkFailed",
    "BadUsage",
    "Refused",
    "Unfit",
    "Unreachable",
]

StepName = Union[int, str]

_PATIENCE = 30
"""Seconds that a server gets to end what runs."""


class ShepherdError(Exception):
    """Something that Shepherd does not do. ``str(error)`` is its sentence: what is wrong, and what to do.

    ``code`` is the exit code that the command ``shepherd`` would end with, ``hint`` a second sentence or None.
    """

    code = 1

    def __init__(self, message: str, hint: Optional[str] = None) -> None:
        super().__init__(message)
        self.hint = hint


class WorkFailed(ShepherdError):
    """Exit code 1: the work failed, or was stopped."""


class BadUsage(ShepherdError):
    """Exit code 2: an option, a name or a step that does not exist."""

    code = 2


class Refused(ShepherdError):
    """Exit code 3: a conflict, or something that needs a decision: another process drives the run, a step may have acted."""

    code = 3


class Unfit(ShepherdError):
    """Exit code 4: the store or the machine is unfit: damage, no room, no rights, no program ``shepherd``."""

    code = 4


class Unreachable(Unfit):
    """The server is not there, went away in the midst of an answer, or answered what cannot be read.

    What was asked for may have been done: ``run.log()`` tells.
    """


_ERRORS = {2: BadUsage, 3: Refused, 4: Unfit}


class Step(NamedTuple):
    """A command that was performed in a run, as a step."""

    n: int
    """Its number in the run."""
    id: Optional[str]
    """Its commit: the same content has the same one, in any run."""
    code: Optional[int]
    """Exit code of the command; None if a signal ended it."""
    signal: Optional[str]
    """The signal that ended it; None for ``act``."""
    status: str
    """``done``, ``failed``, or ``aborted`` (its time was over, or it was stopped)."""
    timed_out: bool
    """Whether its time was over."""
    output: bytes
    """Standard output and standard error as they came; 8 MiB at most."""

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.status == "done"

    @property
    def text(self) -> str:
        """The output as text; what is no UTF-8 is replaced."""
        return self.output.decode("utf-8", "replace")


class Grade(NamedTuple):
    """What a command said of a step. Fields as those of ``Step``; ``n`` is the step that was graded."""

    n: int
    code: Optional[int]
    signal: Optional[str]
    status: str
    timed_out: bool
    output: bytes

    @property
    def ok(self) -> bool:
        """Whether the command ended well."""
        return self.status == "done"

    @property
    def text(self) -> str:
        """The output as text; what is no UTF-8 is replaced."""
        return self.output.decode("utf-8", "replace")


class End(NamedTuple):
    """How a run stands that nobody drives any more."""

    ending: str
    """``done``, ``failed``, ``aborted`` (stopped), ``error``; ``interrupted`` where it was stopped before it worked, or its process
    is gone; ``idle`` for a fork in which nothing was done, or only steps."""
    error: Optional[str]
    """One sentence."""
    head: Optional[str]
    """Its newest commit."""
    n: int
    """Its newest step."""


class Merged(NamedTuple):
    """What became of a merge."""

    status: str
    """``done``, ``nothing`` (all of it was there already) or ``conflict`` (nothing was changed)."""
    op: Optional[int]
    """Number of the operation, for ``undo``."""
    conflicts: List[Dict[str, str]]
    """``path`` and ``why`` of each place that both changed."""
    held: List[Dict[str, str]]
    """``path`` and ``why`` of each file that was left out, since it runs code later: ``yes=True`` merges those too."""


class Row(Dict[str, Any]):
    """A step as ``shepherd log --json`` prints it: ``n``, ``id``, ``kind``, ``status``, ``summary``, ``changes``, …

    ``cursor`` is from where ``observe`` goes on behind it; None where it was not observed.
    """

    cursor: Optional[int] = None


class _Local(http.client.HTTPConnection):
    """HTTP over a socket of the file system."""

    def __init__(self, path: str, timeout: Optional[float]) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Shepherd:
    """A connection to ``shepherd serve``. Without arguments it starts one of its own, which ends with this object, or with this process.

    :param socket: the socket of a server that listens already (``shepherd serve`` says which)
    :param url: or its address, such as ``http://127.0.0.1:8765``; then ``token`` is what is in its token file
    :param store: for a server of its own: where runs are kept; ``SHEPHERD_DIR``, or the user's store, without it
    :param command: for a server of its own: the command, as a list of words; ``shepherd`` on the PATH without it
    :param env: for a server of its own: its environment, and so that of commands of its runs; this process's without it
    :raises Unfit: where no server can be started
    """

    def __init__(
        self,
        *,
        socket: Optional[str] = None,
        url: Optional[str] = None,
        token: Optional[str] = None,
        store: Optional[str] = None,
        command: Optional[Sequence[str]] = None,
        env: Optional[Dict[str, str]] = None
    ) -> None:
        self._child: Optional["subprocess.Popen[bytes]"] = None
        self._closing = threading.Lock()
        self._owner = os.getpid()
        self._socket = socket
        self._host: Optional[str] = None
        self._token = token
        if url is not None:
            if socket is not None:
                raise BadUsage("A socket or a url, not both.")
            if not url.startswith("http://") or token is None:
                raise BadUsage("A url begins with http://, and goes with the token of the server.")
            self._host = url[len("http://") :].rstrip("/")
        elif socket is None:
            self._start(command, store, env)

    def _start(self, command: Optional[Sequence[str]], store: Optional[str], env: Optional[Dict[str, str]]) -> None:
        words = list(command) if command else ["shepherd"]
        if shutil.which(words[0]) is None:
            raise Unfit("There is no program %s: install it (npm install -g shepherd-ai), or name it by command=." % words[0])
        environment = dict(os.environ if env is None else env)
        if store is not None:
            environment["SHEPHERD_DIR"] = os.path.abspath(store)
        # In a session of its own, so that a Ctrl-C on the terminal is this process's: the server ends when its input does.
        self._child = subprocess.Popen(
            words + ["serve", "--attached", "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        try:
            told = json.loads(line)
        except ValueError:
            told = {}
        if "socket" not in told:
            self.close()
            raise _ERRORS.get(told.get("code"), Unfit)(told.get("error") or "`shepherd serve` did not start.")
        self._socket = told["socket"]

    def close(self) -> None:
        """Ends the server that this object started: what runs is stopped, and each run can go on later. Others are left alone."""
        if os.getpid() != self._owner:
            # A copy of the process that started it: that one goes on with it.
            return
        with self._closing:
            child, self._child = self._child, None
        if child is not None:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
            try:
                child.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def __enter__(self) -> "Shepherd":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        try:
            self.close()
        except Exception:
            pass

    def start(
        self,
        command: Optional[Sequence[str]] = None,
        *,
        task: Optional[str] = None,
        agent: Optional[str] = None,
        dir: Optional[str] = None,
        name: Optional[str] = None,
        **options: Any
    ) -> "Run":
        """Starts a run on copies of the files of a directory, and returns once its step 0 stands. ``run.wait()`` waits for its end.

        It goes on whether somebody waits or not, also when this process ends, as long as the server does.

        :param command: the words of a command, which becomes step 1. ``["true"]`` makes a run to be worked on by steps
        :param task: instead of a command: what ``agent`` (``claude``, ``codex``), or the built-in agent of ``model``, is to do
        :param dir: the directory; the present one without it
        :param name: of the run
        :param options: those of ``shepherd run``, with ``_`` for ``-``: ``memory="2GB"``, ``read_only=["data"]``, ``root="debian"``, ``model="…"``
        :raises BadUsage: where a name is taken, an option does not exist, …
        """
        if (command is None) == (task is None):
            raise BadUsage("A command or a task: start([...]), or start(task=...).")
        args = [each for each in (agent, task) if each is not None]
        given = dict(options, scope=name) if name is not None else options
        (made,) = self._do("run", args=args, options=given, command=None if command is None else list(command), dir=dir)
        return Run(self, made["scope"])

    def run(self, name: str) -> "Run":
        """A run that is there already.

        :raises BadUsage: where there is none of that name
        """
        run = Run(self, name)
        run.head()
        return run

    def runs(self, *, dir: Optional[str] = None, all: bool = False) -> List[Dict[str, Any]]:
        """The runs of a directory, newest first, as ``shepherd status --json`` prints them; ``all``: discarded ones and those of other directories too."""
        return self._do("status", options={"all": all}, dir=dir)

    def import_(self, path: str, *, name: Optional[str] = None, dir: Optional[str] = None) -> "Run":
        """Takes in a run out of a file that ``Run.export`` wrote. Nothing of it runs. It can be looked at and forked; it belongs to ``dir``.

        :param name: what it is called here; its own name without it
        :raises Refused: where the file is damaged, or the name is taken
        """
        made = self._do("import", args=[os.path.abspath(path)], options={"as": name}, dir=dir)
        return Run(self, made[0]["scope"])

    def undo(self, op: Optional[int] = None, *, dir: Optional[str] = None) -> Dict[str, Any]:
        """Takes back the newest operation of a directory (a revert, merge, sync, discard), or the one that is named."""
        return self._do("undo", args=[] if op is None else [str(op)], dir=dir, refusals=(3,))[0]

    def _do(
        self,
        route: str,
        *,
        args: Sequence[str] = (),
        options: Optional[Dict[str, Any]] = None,
        command: Optional[List[str]] = None,
        dir: Optional[str] = None,
        refusals: Sequence[int] = ()
    ) -> List[Dict[str, Any]]:
        """What a verb prints. An exit code in ``refusals`` is no error where it printed something."""
        given = {key.replace("_", "-"): value for key, value in (options or {}).items() if value is not None}
        body: Dict[str, Any] = {"args": list(args), "options": given, "cwd": os.path.abspath(dir or os.getcwd())}
        if command is not None:
            body["command"] = command
        return [line["object"] for line in self._ask(route, body, refusals) if "object" in line]

    def _ask(self, route: str, body: Dict[str, Any], refusals: Sequence[int] = ()) -> Iterator[Dict[str, Any]]:
        """The lines of an answer, but for the last. Raises what that says."""
        said = False
        for line in self._lines(route, body):
            if "exit" not in line:
                said = said or "object" in line
                yield line
                continue
            code = line["exit"]
            if code == 0 or ("error" not in line and (code == 1 or (said and code in refusals))):
                return
            raise _ERRORS.get(code, WorkFailed)(line.get("error") or "It ended with exit code %d." % code, line.get("hint"))
        raise Unreachable("The server went away before it had answered: whether it has done what was asked for, the log of the run tells.")

    def _lines(self, route: str, body: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
        """The lines of an answer as they come. The connection ends with the iteration, and so does what waits behind it."""
        if self._socket is not None:
            connection: http.client.HTTPConnection = _Local(self._socket, None)
        else:
            assert self._host is not None
            connection = http.client.HTTPConnection(self._host)
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = "Bearer " + self._token
        try:
            try:
                connection.request("POST", "/v1/" + route, json.dumps(body).encode(), headers)
                answer = connection.getresponse()
                if answer.status != 200:
                    told = json.loads(answer.read())
                    error = Refused if answer.status in (401, 403) else BadUsage
                    raise error(told["error"])
                while True:
                    line = answer.readline()
                    if not line.endswith(b"\n"):
                        return
                    yield json.loads(line)
            except (OSError, http.client.HTTPException, ValueError) as why:
                where = self._socket or self._host
                raise Unreachable("`shepherd serve` cannot be reached at %s (%s): start it." % (where, why)) from why
        finally:
            connection.close()


class Run:
    """A run: its files, its steps, its conversation. A value of this class is only a name; any number may mean the same run."""

    def __init__(self, shepherd: Shepherd, name: str) -> None:
        self._shepherd = shepherd
        self.name = name
        """Its name, as ``shepherd log NAME`` takes it."""

    def __repr__(self) -> str:
        return "Run(%r)" % self.name

    # Act

    def step(self, command: Sequence[str], *, at: Optional[str] = None, timeout: Optional[float] = None) -> Step:
        """Runs a command on the files of the newest step, and records it with all that it changed, as ``shepherd exec`` does.

        Steps of one run come one after the other. Between them the run is held: what a command left running goes on.

        :param command: its words
        :param at: where it starts, relative to the root of the run's files
        :param timeout: seconds; then it is ended, and the step is ``aborted``
        :raises Refused: where another process drives the run
        """
        return self._step("step", command=list(command), at=at, timeout=timeout)

    def act(self, command: str, *, timeout: Optional[float] = None) -> Step:
        """Runs a line of bash, as ``shepherd shell`` does: directory, variables, functions and options are kept from one to the next.

        They are part of the state: a fork has them, a revert sets them back.

        :param timeout: seconds; then it is ended, and the step is ``aborted``
        """
        return self._step("act", text=command, timeout=timeout)

    def _step(self, route: str, **body: Any) -> Step:
        (done,) = self._ask(route, **body)
        return Step(
            done["n"], done["id"], done["code"], done["signal"], done["status"], done["timedOut"], base64.b64decode(done["output"])
        )

    def grade(
        self,
        command: Sequence[str],
        n: Optional[StepName] = None,
        *,
        at: Optional[str] = None,
        timeout: Optional[float] = None
    ) -> Grade:
        """Runs a command on the files of a step, in a copy that is thrown away. The run, its log and the names of its forks stay as they are.

        :param n: the step; the newest without it
        """
        step = None if n is None else str(n)
        (done,) = self._ask("grade", command=list(command), step=step, at=at, timeout=timeout)
        return Grade(
            done["n"], done["code"], done["signal"], done["status"], done["timedOut"], base64.b64decode(done["output"])
        )

    # Time

    def fork(
        self, n: Optional[StepName] = None, *, count: Optional[int] = None, name: Optional[str] = None, **options: Any
    ) -> Any:
        """A new run that starts at a step, with all its files and what was said until then. What follows in one is not seen in the other.

        :param n: the step; the newest without it
        :param count: so many at once; then a list of runs is returned, else a run
        :param name: of the new run; ``PARENT.1``, ``PARENT.2``, … without it
        :param options: those of ``shepherd fork``, with ``_`` for ``-``: ``memory="2GB"``, ``intent=True``, ``result="…"``
        """
        made = self._verb("fork", self._at(n), dict(options, count=count, scope=name), refusals=(3,))
        runs = [Run(self._shepherd, each["scope"]) for each in made]
        return runs if count is not None else runs[0]

    def revert(self, n: StepName, *, acknowledge: bool = False, **options: Any) -> int:
        """Sets files and conversation back to a step, as a new step, whose number is returned. What came since stays in the log.

        What runs in the run is stopped. Your own directory stays as it is.

        :param acknowledge: go on although effects are passed that cannot be taken back
        :raises Refused: where there are such effects
        """
        given = dict(options, acknowledge=acknowledge)
        given.setdefault("land", "never")
        return int(self._verb("revert", self._at(n), given, refusals=(3,))[0]["n"])

    def merge(self, into: Optional["Run"] = None, *, take: Optional[str] = None, yes: bool = False) -> Merged:
        """Brings the files of the run into your directory, or into another run. Where both changed the same lines nothing is changed.

        :param take: ``ours``, ``theirs`` (this run's) or ``both``, where both changed a place
        :param yes: land files that run code later, too
        """
        given = {"into": into.name if into else None, "take": take, "yes": yes}
        (done,) = self._verb("merge", [self.name], given, refusals=(3,))
        return Merged(done["status"], done["op"], done["conflicts"], done.get("held", []))

    def sync(self, *, take: Optional[str] = None) -> Dict[str, Any]:
        """Brings what is newer in your directory into the run. Returns what ``shepherd sync --json`` prints."""
        return self._verb("sync", [self.name], {"take": take}, refusals=(3,))[0]

    def discard(self) -> int:
        """Gives the run up. Returns the number of the operation: ``Shepherd.undo`` brings it back."""
        return int(self._verb("discard", [self.name])[0]["op"])

    # Drive

    def wait(self) -> "Run":
        """Waits until nobody drives the run any more, and returns it. ``end()`` says how it ended."""
        self.end()
        return self

    def end(self) -> End:
        """Waits until nobody drives the run any more, and tells how it ended."""
        (done,) = self._ask("wait")
        return End(done["ending"], done["error"], done["head"], done["n"])

    def resume(self, instruction: Optional[str] = None, **options: Any) -> "Run":
        """Goes on with a run that stopped, or with an agent's fork; returns once that is under way.

        :param instruction: what the agent is told
        :param options: those of ``shepherd resume``
        """
        self._verb("resume", [self.name] + ([] if instruction is None else [instruction]), options)
        return self

    def inject(self, text: str) -> None:
        """Tells the agent of the run something with its next request."""
        self._verb("inject", [self.name, text])

    def pause(self) -> None:
        """Holds the run back; ``resume`` lets it go on."""
        self._verb("pause", [self.name])

    def stop(self) -> None:
        """Stops what the server does in the run, and lets it go: its processes end, its steps stay. A next step takes it up again."""
        self._ask("stop")

    def export(self, path: Optional[str] = None, *, git: Optional[str] = None, **options: Any) -> Dict[str, Any]:
        """Writes the run with its forks into one file, or into a bare Git repository with a commit for each step.

        Returns what ``shepherd export --json`` prints. ``Shepherd.import_`` takes the file into another store.

        :param path: of the file; ``NAME.shepherd`` in the present directory without it
        :param git: instead: the directory of the repository
        :param options: those of ``shepherd export``: ``no_forks=True``, ``with_secrets=True``
        :raises Refused: where something in it looks like a secret
        """
        places = {"output": path and os.path.abspath(path), "git": git and os.path.abspath(git)}
        return self._verb("export", [self.name], dict(options, **places))[0]

    # Look

    def observe(self, cursor: int = 0, *, follow: bool = False) -> Iterator[Row]:
        """Its own steps in the order in which they were completed. Each is durable when it comes.

        An observer that broke off goes on with ``observe(cursor=last.cursor)``, and misses none. It never holds the run up, however slow it is.

        :param follow: go on as steps come, until nobody drives the run any more
        """
        for line in self._shepherd._ask("observe", {"run": self.name, "cursor": cursor, "follow": follow}):
            if "object" in line:
                row = Row(line["object"])
                row.cursor = line["cursor"]
                yield row

    def log(self, *, number: Optional[int] = None) -> List[Row]:
        """Its steps, newest first, with those that it shares with what it was forked from; ``number``: so many at most."""
        return [Row(each) for each in self._verb("log", [self.name], {"number": number})]

    def head(self) -> Row:
        """Its newest step."""
        (row,) = self._ask("head")
        return Row(row)

    def show(self, n: Optional[StepName] = None) -> Dict[str, Any]:
        """One step in full, as ``shepherd show --json`` prints it; the newest without ``n``."""
        return self._verb("show", self._at(n))[0]

    def cat(self, path: str, n: Optional[StepName] = None) -> bytes:
        """A file as it was at a step; the newest without ``n``.

        :raises BadUsage: where there was none, or it was a directory
        """
        parts: List[bytes] = []
        kind = None
        body = {"args": self._at(n) + [path], "cwd": os.getcwd()}
        for line in self._shepherd._ask("cat", body):
            if "bytes" in line:
                parts.append(base64.b64decode(line["bytes"]))
            elif "object" in line:
                kind = line["object"]["type"] if "path" in line["object"] else "d"
        if kind not in ("f", "x", "l"):
            raise BadUsage("%s is a directory at that step: ls() lists it." % path)
        return b"".join(parts)

    def ls(self, path: str = ".", n: Optional[StepName] = None) -> List[Dict[str, str]]:
        """What was in a directory at a step: ``name``, ``type``, ``mode``, ``id`` of each entry."""
        found = self._verb("cat", self._at(n) + [path])
        return [each for each in found if "name" in each]

    def diff(self, a: Optional[StepName] = None, b: Optional[StepName] = None) -> List[Dict[str, Any]]:
        """What changed, as ``shepherd diff --json`` prints it: what step ``a`` changed, from ``a`` to ``b``, or what ``merge`` would bring without both."""
        if a is None and b is not None:
            raise BadUsage("From which step? diff(a, b).")
        return self._verb("diff", [self.name] + [str(each) for each in (a, b) if each is not None])

    def checkout(self, directory: str, n: Optional[StepName] = None) -> None:
        """Writes all files of a step into a new directory; the newest step without ``n``."""
        self._verb("checkout", self._at(n) + [os.path.abspath(directory)])

    def status(self) -> Dict[str, Any]:
        """How it stands, as ``shepherd status --json`` prints it."""
        for each in self._shepherd.runs(all=True):
            if each["scope"] == self.name:
                return each
        raise BadUsage("There is no run %s." % self.name)

    def _at(self, n: Optional[StepName]) -> List[str]:
        return [self.name + "@"] if n is None else [self.name, str(n)]

    def _verb(
        self, verb: str, args: Sequence[str], options: Optional[Dict[str, Any]] = None, refusals: Sequence[int] = ()
    ) -> List[Dict[str, Any]]:
        return self._shepherd._do(verb, args=args, options=options, refusals=refusals)

    def _ask(self, route: str, **body: Any) -> List[Dict[str, Any]]:
        given = {key: value for key, value in body.items() if value is not None}
        return [line["object"] for line in self._shepherd._ask(route, dict(given, run=self.name)) if "object" in line]
