"""What the client promises, against the command itself: `SHEPHERD_COMMAND` names it, as a list of JSON."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.dont_write_bytecode = True

import shepherd  # noqa: E402
from shepherd import BadUsage, Refused, Shepherd, Unfit, Unreachable  # noqa: E402

COMMAND = json.loads(os.environ["SHEPHERD_COMMAND"])
LONG = bool(os.environ.get("SHEPHERD_LONG"))
FILES = {"a.txt": "one\n", "dir/b.txt": "two\n"}


class User:
    """A project and a store of their own."""

    def __init__(self):
        self.place = os.path.realpath(tempfile.mkdtemp(prefix="shepherd-python-"))
        self.project = os.path.join(self.place, "project")
        self.store = os.path.join(self.place, "store")
        for path, text in FILES.items():
            at = os.path.join(self.project, path)
            os.makedirs(os.path.dirname(at), exist_ok=True)
            with open(at, "w") as file:
                file.write(text)

    def types(self, *words):
        """What the command prints with --json; it must end well."""
        env = dict(os.environ, SHEPHERD_DIR=self.store)
        at = words.index("--") if "--" in words else len(words)
        all = COMMAND + list(words[:at]) + ["--json"] + list(words[at:])
        done = subprocess.run(all, cwd=self.project, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def read(self, path):
        with open(os.path.join(self.project, path)) as file:
            return file.read()

    def end(self):
        shutil.rmtree(self.place, ignore_errors=True)


def at_once(count, work):
    """Does something in so many threads, and raises what one of them did."""
    failed = []

    def safely(i):
        try:
            work(i)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=safely, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


class WithServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.user = User()
        cls.s = Shepherd(store=cls.user.store, command=COMMAND)

    @classmethod
    def tearDownClass(cls):
        cls.s.close()
        cls.user.end()

    def begin(self, name):
        return self.s.start(["true"], dir=self.user.project, name=name).wait()

    def test_environment(self):
        run = self.begin("env")
        self.assertEqual(run.end()[:2], ("done", None))
        done = run.step(["sh", "-c", "echo hello > greeting; rm dir/b.txt; echo out; echo err >&2; exit 3"])
        self.assertEqual((done.n, done.code, done.status, done.ok), (2, 3, "failed", False))
        self.assertEqual(sorted(done.output.splitlines()), [b"err", b"out"])
        self.assertEqual(run.act("cd dir; export X=1").n, 3)
        self.assertEqual(run.act('echo "$X $(basename $PWD)"').text, "1 dir\n")
        self.assertEqual(run.step(["pwd"], at="dir").text, os.path.join(self.user.project, "dir") + "\n")
        self.assertEqual(run.step(["printf", r"\377"]).output, b"\xff")
        late = run.step(["sleep", "100"], timeout=0.2)
        self.assertEqual((late.status, late.timed_out), ("aborted", True))

        self.assertEqual(run.cat("greeting"), b"hello\n")
        self.assertEqual(run.cat("dir/b.txt", 1), b"two\n")
        self.assertEqual([each["name"] for each in run.ls("dir", 1)], ["b.txt"])
        self.assertEqual([each["path"] for each in run.diff(2)], ["dir/b.txt", "greeting"])
        self.assertEqual([each["path"] for each in run.diff(0, done.id)], ["dir/b.txt", "greeting"])
        self.assertEqual(run.show(2)["id"], done.id)
        self.assertEqual([row["n"] for row in run.log(number=2)], [7, 6])
        self.assertEqual(run.head()["n"], 7)
        self.assertEqual(run.status()["n"], 7)
        out = os.path.join(self.user.place, "out")
        run.checkout(out, 2)
        self.assertEqual(sorted(os.listdir(out)), ["a.txt", "dir", "greeting"])

        graded = run.grade(["sh", "-c", "rm a.txt; cat greeting; exit 5"], 2)
        self.assertEqual((graded.n, graded.code, graded.text, graded.ok), (2, 5, "hello\n", False))
        self.assertTrue(run.grade(["cat", "a.txt", "greeting"]).ok)
        self.assertEqual(run.head()["n"], 7)

        one, two = run.fork(2, count=2)
        self.assertEqual((one.name, two.name), ("env.1", "env.2"))
        self.assertEqual(one.end().ending, "idle")
        one.step(["sh", "-c", "echo one >> greeting"])
        self.assertEqual(one.end()[::3], ("idle", 3))
        two.step(["sh", "-c", "echo two >> greeting"])
        self.assertEqual(run.fork(name="mine").name, "mine")
        self.assertEqual(run.revert(1), 8)
        self.assertEqual(run.cat("a.txt"), b"one\n")
        self.assertRaises(BadUsage, run.cat, "greeting")
        self.assertEqual(one.merge().status, "done")
        self.assertEqual(self.user.read("greeting"), "hello\none\n")
        clash = two.merge()
        self.assertEqual((clash.status, [each["path"] for each in clash.conflicts]), ("conflict", ["greeting"]))
        self.s.undo(dir=self.user.project)
        self.assertFalse(os.path.exists(os.path.join(self.user.project, "greeting")))
        three = run.fork()
        three.step(["touch", "z"])
        self.assertEqual(three.merge(into=run).status, "done")
        self.assertEqual(run.cat("z"), b"")
        two.discard()
        self.assertEqual(two.status()["state"], "discarded")
        self.s.undo(dir=self.user.project)
        self.assertEqual(self.s.run("env.2").head()["n"], 3)
        self.assertIn("env", [each["scope"] for each in self.s.runs(dir=self.user.project)])

    def test_observer_goes_on_from_its_cursor(self):
        run = self.begin("seen")
        self.assertEqual([(row["n"], row.cursor) for row in run.observe()], [(0, 1), (1, 2)])
        came = []

        def watch():
            for row in run.observe(cursor=2, follow=True):
                came.append(row["n"])
                if len(came) == 3:
                    return

        run.step(["true"])
        watching = threading.Thread(target=watch)
        watching.start()
        run.step(["true"])
        run.step(["true"])
        watching.join()
        self.assertEqual(came, [2, 3, 4])

    def test_forks_step_at_once(self):
        count = 50 if LONG else 8
        run = self.begin("many")
        forks = run.fork(1, count=count)
        grades = [None] * count

        def work(i):
            forks[i].step(["sh", "-c", "echo %d > mine" % i])
            forks[i].act("read x < mine; echo $((x * x)) > square")
            grades[i] = forks[i].grade(["cat", "square"]).text

        at_once(count, work)
        self.assertEqual(grades, ["%d\n" % (i * i) for i in range(count)])
        # One run from many threads: one after the other.
        at_once(8, lambda i: run.step(["sh", "-c", "echo %d >> all" % i]))
        self.assertEqual(sorted(run.cat("all").split()), sorted(b"%d" % i for i in range(8)))
        self.assertEqual(run.head()["n"], 9)
        at_once(count, lambda i: forks[i].discard())

    def test_errors(self):
        run = self.begin("wrong")
        for code, error, what in (
            (2, BadUsage, lambda: self.s.run("no-such")),
            (2, BadUsage, lambda: self.s.start(["true"], dir=self.user.project, name="wrong")),
            (2, BadUsage, lambda: self.s.start(["true"], dir=self.user.project, no_such=True)),
            (2, BadUsage, lambda: self.s.start()),
            (2, BadUsage, lambda: run.grade(["true"], 99)),
            (2, BadUsage, lambda: run.cat("dir")),
            (2, BadUsage, lambda: run.step([])),
            (3, Refused, lambda: run.pause()),
            (4, Unreachable, lambda: Shepherd(socket="/no/such").runs()),
            (4, Unfit, lambda: Shepherd(command=["no-such-program"])),
            (4, Unfit, lambda: Shepherd(command=COMMAND, store="/proc/no/such")),
        ):
            with self.assertRaises(error) as told:
                what()
            self.assertEqual((told.exception.code, str(told.exception)[-1]), (code, "."))
        self.assertEqual(self.s.start(["false"], dir=self.user.project, name="fails").end().ending, "failed")

    def test_a_fork_of_this_process_leaves_the_server_alone(self):
        child = os.fork()
        if child == 0:
            self.s.close()
            os._exit(0)
        os.waitpid(child, 0)
        self.assertEqual(self.begin("forked").head()["n"], 1)

    def test_stopped(self):
        run = self.s.start(["sleep", "1000"], dir=self.user.project, name="long")
        run.stop()
        # Stopped before or while its command ran.
        self.assertIn(run.end().ending, ("interrupted", "aborted"))
        run.step(["true"])
        self.assertEqual(run.resume().name, "long")
        run.stop()


class Elsewhere(unittest.TestCase):
    def setUp(self):
        self.user = User()

    def tearDown(self):
        self.user.end()

    def test_same_commits_as_typed(self):
        other = User()
        try:
            other.types("run", "--scope", "same", "--", "true")
            other.types("exec", "same", "--", "sh", "-c", "echo 1 > x")
            other.types("revert", "same", "1")
            with Shepherd(store=self.user.store, command=COMMAND) as s:
                run = s.start(["true"], dir=self.user.project, name="same").wait()
                run.step(["sh", "-c", "echo 1 > x"])
                run.revert(1)
                self.assertEqual([row["id"] for row in run.log()], [row["id"] for row in other.types("log", "same")])
        finally:
            other.end()

    def test_over_tcp_with_the_token(self):
        env = dict(os.environ, SHEPHERD_DIR=self.user.store)
        server = subprocess.Popen(COMMAND + ["serve", "--json", "--port", "0"], env=env, stdout=subprocess.PIPE)
        try:
            told = json.loads(server.stdout.readline())
            with open(told["token"]) as file:
                token = file.read().strip()
            with Shepherd(url=told["url"], token=token) as s:
                run = s.start(["true"], dir=self.user.project).wait()
                self.assertEqual(run.step(["cat", "a.txt"]).text, "one\n")
            self.assertEqual(Shepherd(socket=told["socket"]).run(run.name).head()["n"], 2)
            with self.assertRaises(Refused):
                Shepherd(url=told["url"], token="wrong").runs()
            with self.assertRaises(BadUsage):
                Shepherd(url=told["url"])
        finally:
            server.send_signal(signal.SIGINT)
            self.assertEqual(server.wait(), 0)
            server.stdout.close()
        with self.assertRaises(Unreachable):
            Shepherd(socket=told["socket"]).runs()

    def test_killed_it_takes_its_server_along_and_loses_nothing(self):
        script = (
            "import sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True\n"
            "from shepherd import Shepherd\n"
            "import json; s = Shepherd(store=sys.argv[2], command=json.loads(sys.argv[3]))\n"
            "r = s.start(['true'], dir=sys.argv[4], name='r').wait()\n"
            "r.step(['sh', '-c', 'echo kept > kept'])\n"
            "print(s._child.pid, flush=True)\n"
            "r.step(['sleep', '1000'])\n"
        )
        words = [os.path.dirname(HERE), self.user.store, json.dumps(COMMAND), self.user.project]
        client = subprocess.Popen([sys.executable, "-c", script] + words, stdout=subprocess.PIPE)
        self.addCleanup(client.kill)
        server = int(client.stdout.readline())
        while not any(row["status"] == "intent" for row in self.user.types("observe", "r")):
            time.sleep(0.05)
        client.kill()
        client.wait()
        client.stdout.close()
        while os.path.exists("/proc/%d" % server) if os.path.exists("/proc/self") else False:
            time.sleep(0.05)
        self.assertEqual([row["status"] for row in self.user.types("log", "r")], ["aborted", "done", "done", "done"])
        with Shepherd(store=self.user.store, command=COMMAND) as s:
            self.assertEqual(s.run("r").step(["cat", "kept"]).text, "kept\n")


class Source(unittest.TestCase):
    def test_is_python_3_8_and_needs_nothing(self):
        with open(shepherd.__file__) as file:
            tree = ast.parse(file.read(), feature_version=(3, 8))
        named = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
        named |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        known = getattr(sys, "stdlib_module_names", named)
        self.assertEqual([name for name in named if name.split(".")[0] not in known], [])

    def test_all_that_is_public_is_described(self):
        for name in shepherd.__all__:
            thing = getattr(shepherd, name)
            self.assertTrue(thing.__doc__, name)
            for key, value in vars(thing).items():
                if callable(value) and not key.startswith("_") and value.__module__ == "shepherd":
                    self.assertTrue(value.__doc__, "%s.%s" % (name, key))


if __name__ == "__main__":
    unittest.main()
