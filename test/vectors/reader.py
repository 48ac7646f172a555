#!/usr/bin/env python3
"""Reads a store of Shepherd, written from docs/format.md alone. Needs nothing but Python.

    reader.py STORE      prints what is in it as JSON, in the shape of expected.json; checks every hash on the way
"""
import hashlib
import json
import os
import struct
import sys
import zlib

MAGIC = b"\xf5SHP"
sha = lambda data: hashlib.sha256(data).hexdigest()


def records(path, kind):
    """The payloads of a segment. What forms no record is passed over."""
    with open(path, "rb") as file:
        data = file.read()
    line = f"shepherd {kind} 1\n".encode()
    assert data.startswith(line), f"{path} is no {kind} of a version that is known"
    at = len(line)
    while at + 16 <= len(data):
        length, check, head = struct.unpack("<III", data[at + 4 : at + 16])
        payload = data[at + 16 : at + 16 + length]
        if (data[at : at + 4] == MAGIC and zlib.crc32(data[at : at + 12]) == head
                and len(payload) == length <= 2**20 + 4096 and zlib.crc32(payload) == check):
            yield payload
            at += 16 + length
        else:
            at = data.find(MAGIC, at + 1)
            if at < 0:
                return


def number(value):
    """A number as JavaScript writes it."""
    if isinstance(value, int):
        value = float(value) if abs(value) > 2**53 else value
    if isinstance(value, int):
        return str(value)
    if value == 0:
        return "0"
    sign, digits = ("-", repr(-value)) if value < 0 else ("", repr(value))
    mantissa, _, exponent = digits.partition("e")
    whole, _, part = mantissa.partition(".")
    part = "" if part == "0" else part
    point = len(whole) + int(exponent or 0)
    digits = (whole + part).lstrip("0")
    point -= len(whole + part) - len(digits)
    digits = digits.rstrip("0") or "0"
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "") + power


def canonical(value):
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
    return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"


encode = lambda value: canonical(value).encode()


class Store:
    def __init__(self, directory):
        self.directory = directory
        self.objects, self.forgotten, self.derived = {}, set(), set()
        with open(f"{directory}/format") as file:
            assert file.read() == "shepherd store 1\n", "the store has a version that is not known"
        for name in sorted(os.listdir(f"{directory}/objects")):
            if name.endswith(".pack"):
                for payload in records(f"{directory}/objects/{name}", "pack"):
                    self.take(payload)
        self.forgotten -= self.objects.keys()

    def take(self, payload):
        id, encoding, body = payload[:32].hex(), payload[32], payload[33:]
        if encoding == 3:
            assert not any(body), f"the tombstone of {id} holds something"
            self.forgotten.add(id)
            return
        assert encoding in (0, 1, 4, 5), f"the object {id} is of a newer version"
        if encoding & 4:
            body = bytes(byte ^ body[i & 3] for i, byte in enumerate(body[4:]))
        if encoding & 1:
            body = zlib.decompressobj(-15).decompress(body, 2**20 + 1)
        assert sha(body) == id and len(body) <= 2**20, f"the object {id} has other content"
        self.objects[id] = body

    # Names

    def refs(self, name):
        newest = max(int(file.split(".")[1]) for file in os.listdir(self.directory) if file.startswith(f"{name}."))
        stands = {}
        for payload in records(f"{self.directory}/{name}.{newest}", name):
            change = json.loads(payload)
            if "closed" in change:
                break
            if change["version"] > stands.get(change["ref"], (0, None))[0]:
                stands[change["ref"]] = (change["version"], change["next"])
        return {ref: value for ref, (_, value) in stands.items() if value is not None}

    # Logs

    def log(self, id):
        payloads = records(f"{self.directory}/logs/{id}.log", "log")
        first = next(payloads)
        header = json.loads(first)
        assert (header["v"], header["type"], header["id"]) == (1, "log", id) and encode(header) == first
        frames, ignored, prev, epoch = [], 0, sha(first), 0
        for payload in payloads:
            frame = json.loads(payload)
            assert frame["v"] == 1, "a frame has a version that is not known"
            assert encode(frame) == payload, "a frame is not canonical"
            if frame["seq"] != len(frames) or frame["prev"] != prev or frame["epoch"] < epoch:
                ignored += 1
                continue
            frames.append(frame)
            prev, epoch = sha(payload), frame["epoch"]
        commits, open = self.seal(header, frames)
        return {"frames": len(frames), "last": prev, "ignored": ignored, "commits": commits, "open": open}

    def seal(self, header, frames):
        origin = header["origin"]
        due = origin["top"] + 1 if origin else 0
        head = (dict(origin, id=origin["commit"]) if origin
                else {"id": None, "state": {"roots": {"workspace": "tree:"}, "threads": {}}, "carry": {}, "top": -1})
        steps, commits = {}, []
        container = lambda step: step["intent"]["kind"] == "command" or step["intent"].get("container") is True
        shared = lambda step: step["intent"].get("shared") is True

        def held(step):
            outcome = step.get("outcome")
            if not outcome:
                return "files" in step
            if "workspace" in outcome:
                return True
            return (step["intent"]["kind"] == "tool" and not container(step)
                    and outcome["status"] not in ("denied", "not-run", "aborted"))

        def place(step):
            return step.get("files", step.get("at"))

        def ready(n, step):
            others = [other for m, other in steps.items() if m != n and not other["sealed"]]
            if "outcome" not in step or any(other["intent"]["kind"] == "run" for other in others):
                return False
            turn = step["links"].get("turn")
            if turn is not None:
                if turn in steps and not steps[turn]["sealed"]:
                    return False
                if not container(step) and any(m < n and not other["sealed"] and not container(other)
                                               and other["links"].get("turn") == turn for m, other in steps.items()):
                    return False
            return not held(step) or not any(held(other) and place(other) < place(step) and not (shared(step) and shared(other))
                                             for other in others)

        for frame in frames:
            n, phase = frame["n"], frame["phase"]
            if phase == "intent":
                assert n == due, f"step {n} came where {due} was due"
                due += 1
                steps[n] = {"intent": frame["facts"], "links": frame.get("links", {}), "sealed": False}
            elif phase != "note":
                assert n in steps and not (phase == "outcome" and "outcome" in steps[n]), f"step {n} breaks a law"
            if phase == "part" and frame["facts"].get("part") == "files":
                steps[n]["files"] = frame["seq"]
            if phase == "part" and frame["facts"].get("part") == "attempt":
                steps[n].pop("files", None)
            if phase != "outcome":
                continue
            steps[n].update(outcome=frame["facts"], at=frame["seq"], carry=frame.get("carry"))
            while True:
                can = [n for n, step in sorted(steps.items()) if not step["sealed"] and ready(n, step)]
                if not can:
                    break
                head = self.commit(head, can[0], steps[can[0]])
                steps[can[0]]["sealed"] = True
                commits.append({"n": can[0], "id": head["id"], "parents": head["parents"], "seq": frame["seq"], "top": head["top"],
                                "state": sha(encode(head["state"])), "carry": head["carry"]})
                self.states.setdefault(head["state"]["roots"]["workspace"], head["carry"].get("mtimes"))
        return commits, [n for n, step in sorted(steps.items()) if not step["sealed"]]

    def commit(self, head, n, step):
        intent, outcome = step["intent"], step["outcome"]
        base = outcome.get("state") or head["state"]
        threads = dict(base["threads"])
        for name, effect in outcome.get("threads", {}).items():
            thread = dict(threads.get(name, {"items": None, "shell": None}))
            for item in effect.get("append", []):
                node = encode({"type": "items", "v": 1, "before": thread["items"], "item": item})
                self.derived.add(sha(node))
                thread["items"] = f"items:{sha(node)}"
            if "shell" in effect:
                thread["shell"] = effect["shell"]
            threads[name] = thread
        state = {"roots": {"workspace": outcome.get("workspace", base["roots"]["workspace"])}, "threads": threads}
        first = head["id"] or outcome.get("base")
        parents = ([first] if first else []) + ([outcome["with"]] if outcome.get("with") else [])
        commit = encode({"type": "commit", "v": 1, "parents": parents, "kind": intent["kind"], "tier": outcome.get("tier", intent["tier"]),
                         "status": outcome["status"], "intent": intent, "outcome": outcome, "state": state})
        self.derived.add(sha(commit))
        carry = head["carry"] if step["carry"] is None else step["carry"]
        return {"id": sha(commit), "parents": parents, "state": state, "carry": carry, "top": max(head["top"], n)}

    # File trees

    def parts(self, id, kind, size):
        """First number and entries of a tree (u16) or of times (i64), put together from its parts."""
        data, line = self.objects[id], f"shepherd {kind} 1\n".encode()
        if data.startswith(line):
            return int.from_bytes(data[len(line) : len(line) + size], "big", signed=size == 8), data[len(line) + size :]
        line = f"shepherd {kind}s 1\n".encode()
        assert data.startswith(line), f"{id} is no {kind}"
        ids = data[len(line) + size :]
        pieces = [self.parts(ids[at : at + 32].hex(), kind, size) for at in range(0, len(ids), 32)]
        assert len(pieces) > 1 and len({first for first, _ in pieces}) == 1
        return pieces[0][0], b"".join(entries for _, entries in pieces)

    def times(self, id):
        own, data = self.parts(id, "mtimes", 8)
        entries, at = {}, 0
        while at < len(data):
            kind, length = data[at : at + 1], int.from_bytes(data[at + 1 : at + 3], "big")
            name, at = data[at + 3 : at + 3 + length], at + 3 + length
            if kind == b"f":
                entries[name], at = int.from_bytes(data[at : at + 8], "big", signed=True), at + 8
            else:
                assert kind == b"d"
                entries[name], at = data[at : at + 32].hex(), at + 32
        return own, entries

    def content(self, kind, id):
        if id in self.forgotten:
            return None
        data = self.objects[id]
        if kind != "F":
            return data
        line = b"shepherd chunks 1\n"
        assert data.startswith(line)
        size, ids = int.from_bytes(data[len(line) : len(line) + 8], "big"), data[len(line) + 8 :]
        whole = b"".join(self.objects[ids[at : at + 32].hex()] for at in range(0, len(ids), 32))
        assert len(whole) == size
        return whole

    def tree(self, id, times, path=""):
        mode, data = self.parts(id, "tree", 2)
        own, known = self.times(times) if times else ("-", {})
        lines, at, before = [f"d {mode:o} {own} - - {path}"], 0, b""
        while at < len(data):
            kind = chr(data[at])
            mode, length = struct.unpack(">HH", data[at + 1 : at + 5])
            name, child = data[at + 5 : at + 5 + length], data[at + 5 + length : at + 37 + length].hex()
            assert before < name and kind in "fFld"
            at, before = at + 37 + length, name
            below = f"{path}/{name.hex()}" if path else name.hex()
            time = known.get(name)
            if kind == "d":
                lines += self.tree(child, time, below)
                continue
            content = self.content(kind, child)
            told = "- -" if content is None else f"{len(content)} {sha(content)}"
            lines.append(f"{kind} {mode:o} {'-' if time is None else time} {told} {below}")
        return lines

    def everything(self):
        self.states = {}
        logs = {name[:-4]: self.log(name[:-4]) for name in sorted(os.listdir(f"{self.directory}/logs")) if name.endswith(".log")}
        trees = {}
        for link, times in self.states.items():
            lines = self.tree(link.split(":")[1], times and times.split(":")[1])
            trees[link] = lines[:16] + [f"{len(lines)} {sha(chr(10).join(lines).encode())}"]
        return {"objects": sorted(self.objects), "forgotten": sorted(self.forgotten), "derived": sorted(self.derived),
                "refs": self.refs("refs"), "logs": logs, "trees": trees}


if __name__ == "__main__":
    print(json.dumps(Store(sys.argv[1]).everything()))
