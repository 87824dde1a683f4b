"""A server as a process, and what clients see of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

KEY = "a secret"
PATIENCE = 660  # seconds without a byte: longer than the server lets a request take, which then says so
PLAIN = {"temperature": 0, "ignore_eos": True, "return_token_ids": True}


def processes(of):
    """The process and its children, theirs too, by /proc."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents[int(entry.name)] = int(fields[1])
            except OSError:
                continue
    found = {of}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found & parents.keys()


class Server:
    def __init__(self, folder, *arguments):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "meshlang", "serve", "cluster.toml", *arguments],
            cwd=folder, stdout=subprocess.PIPE, stderr=(folder / "errors").open("w"), text=True, env={**os.environ, "TEST_KEY": KEY},
        )  # fmt: skip
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, (line, (folder / "errors").read_text())
        self.url = found[0]

    def ask(self, path, body=None, key=KEY):
        """Status and JSON."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, data, headers), timeout=PATIENCE
            ) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if text.startswith("{") else text
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def complete(self, prompt, new, model="first", **more):
        status, answer = self.ask(
            "/v1/completions",
            {
                "model": model,
                "prompt": prompt,
                "max_tokens": new,
                "temperature": 0,
                "ignore_eos": True,
                "return_token_ids": True,
                **more,
            },
        )
        assert status == 200, answer
        return answer["choices"][0]["token_ids"]

    def stream(self, prompt, new, model="first"):
        """Tokens as they come; ConnectionError when the connection ends before the stream does (http.client says nothing then)."""
        body = {"model": model, "prompt": prompt, "max_tokens": new, "stream": True, **PLAIN}
        request = urllib.request.Request(
            self.url + "/v1/completions", json.dumps(body).encode(), {"Authorization": f"Bearer {KEY}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            for line in answer:
                if line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    assert "error" not in event, event
                    yield from event["choices"][0]["token_ids"]
                elif line.startswith(b"data: [DONE]"):
                    return
        raise ConnectionError("the stream has no end")

    def workers(self):
        """Processes with a wafer: the children that load numba."""
        return [p for p in processes(self.process.pid) - {self.process.pid} if re.search("numba|llvmlite", _maps(p))]


def _maps(process):
    """What a process has mapped; nothing if it is gone."""
    try:
        return Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return ""
