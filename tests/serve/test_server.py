"""`meshlang serve` as its users see it: one server with two workers, the official client, streams, errors, deaths, the end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import re
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoints import write_model, write_tokenizer
from references import greedy
from serving import KEY, Server, processes

from meshlang.cli import main
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.fit import place
from meshlang.models.runner import Runner
from meshlang.models.sampling import Sampling

for library in ("distributed", "fastapi", "uvicorn", "prometheus_client", "jinja2", "tokenizers"):
    pytest.importorskip(library, reason="the extra serve is not installed")

CONFIG = """
[server]
port = 0
queue = 40
api_key_env = "TEST_KEY"

[workers]
count = 2
wafer = "7x4"

[[models]]
name = "first"
path = "first"
mesh = "4x4"
dtype = "f32"
context = 128
prompt = 8

[[models]]
name = "second"
path = "second"
mesh = "3x3"
dtype = "f32"
context = 128
prompt = 8
"""
SECOND = CONFIG[CONFIG.index('path = "second"') :]
IMAGE = """
[[models]]
name = "image"
path = "image.wimg"
"""
TEMPLATE = "{% for m in messages %}{{ bos_token }}{{ m['role'][0] }}:{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}a:{% endif %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster")
    (path / "cluster.toml").write_text(CONFIG + IMAGE)
    for seed, name in ((3, "first"), (4, "second")):
        write_model(path / name, seed=seed)
        write_tokenizer(path / name)
    (path / "second" / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": TEMPLATE, "bos_token": {"content": "<s>"}})
    )
    command = ["llm", "place", path / "second", "--mesh", "3x3", "--dtype", "f32", "--context", "128", "--prefill", "8"]
    assert main([*map(str, command), "-o", str(path / "image.wimg")]) == 0
    return path


@pytest.fixture(scope="module")
def server(folder):
    found = Server(folder)
    yield found
    if found.process.poll() is None:
        found.process.kill()


def test_the_official_client(server, folder):
    openai = pytest.importorskip("openai", reason="the extra serve-test is not installed")
    client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)
    assert [m.id for m in client.models.list()] == ["first", "second", "image"]
    assert client.models.retrieve("second").owned_by == "meshlang"
    # "cab" is the tokens 1 (begin), 6, 4, 5
    want = greedy(folder / "first", [1, 6, 4, 5], 10)
    more = {"ignore_eos": True, "return_token_ids": True}
    whole = client.completions.create(model="first", prompt="cab", max_tokens=10, temperature=0, extra_body=more)
    choice = whole.choices[0]
    assert choice.token_ids == want and choice.finish_reason == "length" and len(choice.text) > 0
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (4, 10)
    parts = list(
        client.completions.create(
            model="first", prompt="cab", max_tokens=10, temperature=0, stream=True, stream_options={"include_usage": True},
            extra_body=more,
        )
    )  # fmt: skip
    assert "".join(p.choices[0].text for p in parts if p.choices) == choice.text
    assert [t for p in parts if p.choices for t in p.choices[0].token_ids] == want
    assert parts[-1].usage.total_tokens == 14 and parts[-2].choices[0].finish_reason == "length"
    stop = choice.text[3:5]
    ended = client.completions.create(
        model="first", prompt="cab", max_tokens=10, temperature=0, stop=stop, extra_body=more
    )
    assert ended.choices[0].finish_reason == "stop"
    assert ended.choices[0].text == choice.text[: choice.text.index(stop)]

    messages = [{"role": "user", "content": "hi"}]
    rendered = [1, *(ord(c) - ord("a") + 4 for c in "u"), 61, 11, 12, 4, 61]  # <s>u:hia:
    chat = client.chat.completions.create(
        model="second", messages=messages, max_completion_tokens=8, temperature=0, extra_body=more
    )
    assert chat.choices[0].message.role == "assistant" and chat.usage.prompt_tokens == len(rendered)
    assert chat.choices[0].token_ids == greedy(folder / "second", rendered, 8)
    deltas = list(
        client.chat.completions.create(
            model="second", messages=messages, max_tokens=8, temperature=0, stream=True, extra_body=more
        )
    )
    assert deltas[0].choices[0].delta.role == "assistant"
    assert "".join(d.choices[0].delta.content or "" for d in deltas) == chat.choices[0].message.content

    with pytest.raises(openai.NotFoundError, match="there is no model 'third'; there are: first, second, image"):
        client.completions.create(model="third", prompt="a")
    with pytest.raises(openai.BadRequestError, match="first has no chat template"):
        client.chat.completions.create(model="first", messages=messages)
    with pytest.raises(openai.BadRequestError, match="n is not supported"):
        client.completions.create(model="first", prompt="a", n=2)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=server.url + "/v1", api_key="wrong").models.list()


def test_a_wafer_image(server, folder):
    want = greedy(folder / "second", [1, 6, 4, 5], 10)
    assert server.complete("cab", 10, "image") == want


def test_choices_are_those_of_the_same_seed(server, folder):
    checkpoint = Checkpoint(folder / "first")
    sampling = Sampling(0.8, 20, 0.9, 5)
    runner = Runner(place(checkpoint.config, 4, 4, tokens=128, prompt=8, dtype="float32"), checkpoint, "wse3")
    draw, want, feed = sampling.generator(), [], [5, 9, 11]
    for _ in range(12):
        want.append(sampling.choose(runner.feed(feed), draw))
        feed = want[-1:]
    asked = {"temperature": 0.8, "top_k": 20, "top_p": 0.9, "seed": 5}
    assert server.complete([5, 9, 11], 12, **asked) == want == server.complete([5, 9, 11], 12, **asked)
    assert server.complete([5, 9, 11], 12, **asked | {"seed": 6}) != want


@pytest.fixture
def busy(server, folder):
    """The server; MESHLANG_SERVE_LARGE=1: another one, in whose queue 200 may wait."""
    if not os.environ.get("MESHLANG_SERVE_LARGE"):
        yield server
        return
    (folder / "cluster.toml").write_text(CONFIG.replace("queue = 40", "queue = 200"))
    found = Server(folder)
    yield found
    (folder / "cluster.toml").write_text(CONFIG + IMAGE)
    found.process.send_signal(signal.SIGTERM)
    assert found.process.wait(60) == 0


def test_many_at_once_are_equal_to_single_runs(busy, folder):
    """Streams of two models on two workers; MESHLANG_SERVE_LARGE=1: two hundred."""
    count = 200 if os.environ.get("MESHLANG_SERVE_LARGE") else 24
    wanted = {}
    for k in range(8):
        name, prompt = ("first", "second")[k % 2], [3 + k, 9, 11 + 2 * k]
        wanted[k] = (name, prompt, greedy(folder / name, prompt, 12))

    def one(k):
        name, prompt, want = wanted[k % 8]
        return list(busy.stream(prompt, 12, name)) == want

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        assert all(pool.map(one, range(count)))
    status, health = busy.ask("/health", key=None)
    assert (status, health["status"], health["workers"], health["waiting"]) == (200, "ok", 2, 0)


def test_too_many_are_told_so(server):
    """Forty may wait: of more at once some are refused with 429, and the others are done."""

    def one(k):
        return server.ask("/v1/completions", {"model": "first", "prompt": [k], "max_tokens": 10, "temperature": 0})

    with concurrent.futures.ThreadPoolExecutor(57) as pool:
        answers = list(pool.map(one, range(3, 60)))
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 429} and statuses.count(200) >= 40
    refused = next(a for status, a in answers if status == 429)
    assert refused["error"]["code"] == "queue_full"


def test_a_worker_is_killed(server, folder):
    """Each worker in turn, in the middle of a stream: it goes on elsewhere from its last token; a new worker comes."""
    want = greedy(folder / "first", [5, 9, 11], 100)
    for _ in range(2):
        tokens = []
        for token in server.stream([5, 9, 11], 100):
            tokens.append(token)
            if len(tokens) == 20:
                workers = server.workers()
                assert workers
                # the one that generates has used the processor last
                before = {p: _ticks(p) for p in workers}
                time.sleep(0.1)
                os.kill(max(workers, key=lambda p: _ticks(p) - before[p]), signal.SIGKILL)
        assert tokens == want
    deadline = time.monotonic() + 60
    while server.ask("/health", key=None)[1]["workers"] < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.ask("/health", key=None)[1]["workers"] == 2
    text = server.ask("/metrics")[1]
    assert int(float(re.search(r"^meshlang_workers_lost_total (\S+)", text, re.M)[1])) >= 1


def _ticks(process):
    try:
        return sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))
    except OSError:
        return 0


def test_metrics(server):
    parser = pytest.importorskip("prometheus_client.parser")
    status, text = server.ask("/metrics")
    found = {s.name: s.value for family in parser.text_string_to_metric_families(text) for s in family.samples}
    assert status == 200 and found["meshlang_workers"] >= 1 and found["meshlang_tokens_total"] > 0
    assert found["meshlang_startup_seconds_count"] > 0 and found["meshlang_waiting"] == 0


@pytest.mark.parametrize(
    "path, body, status, text",
    [
        ("/v1/completions", b"{", 400, "no JSON"),
        ("/v1/completions", [], 400, "no JSON object"),
        ("/v1/completions", {"prompt": [1]}, 404, "there is no model None"),
        ("/v1/completions", {"model": "first"}, 400, "expected a text, or a list of token numbers"),
        ("/v1/completions", {"model": "first", "prompt": []}, 400, "no token to start from"),
        ("/v1/completions", {"model": "first", "prompt": [64]}, 400, "token 64 is not one of the model's 64"),
        ("/v1/completions", {"model": "first", "prompt": ["a", "b"]}, 400, "one prompt a request"),
        ("/v1/completions", {"model": "first", "prompt": [1], "max_tokens": 128}, 400, "longer than the model's context of 128"),
        ("/v1/completions", {"model": "first", "prompt": [1] * 128}, 400, "longer than the model's context of 128"),
        ("/v1/completions", {"model": "first", "prompt": [1], "max_tokens": 0}, 400, "max_tokens is 0"),
        ("/v1/completions", {"model": "first", "prompt": [1], "temperature": 3}, 400, "temperature is 3"),
        ("/v1/completions", {"model": "first", "prompt": [1], "temperature": "hot"}, 400, "temperature is 'hot'"),
        ("/v1/completions", {"model": "first", "prompt": [1], "top_p": 0}, 400, "top_p is 0"),
        ("/v1/completions", {"model": "first", "prompt": [1], "top_k": -1}, 400, "top-k is 0 or positive"),
        ("/v1/completions", {"model": "first", "prompt": [1], "logprobs": 5}, 400, "logprobs is not supported"),
        ("/v1/completions", {"model": "first", "prompt": [1], "min_p": 0.1}, 400, "there is no parameter 'min_p'"),
        ("/v1/completions", {"model": "first", "prompt": [1], "stop": ["a"] * 5}, 400, "a list of up to four"),
        ("/v1/completions", {"model": "first", "prompt": [1], "stream": 1}, 400, "expected true or false"),
        ("/v1/chat/completions", {"model": "second", "messages": []}, 400, "at least one message"),
        ("/v1/chat/completions", {"model": "second", "messages": [{"role": "user", "content": 1}]}, 400, "messages[0].content"),
        ("/v1/chat/completions", {"model": "second", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "parts of type text"),
        ("/v1/models/third", None, 404, "there is no model 'third'"),
        ("/v1/embeddings", {}, 404, "POST /v1/embeddings: Not Found; there are /v1/models"),
        ("/v1/completions", None, 405, "GET /v1/completions: Method Not Allowed"),
    ],
)  # fmt: skip
def test_refused(server, path, body, status, text):
    got, answer = server.ask(path, body)
    assert (
        got == status
        and text in answer["error"]["message"]
        and set(answer["error"]) == {"message", "type", "param", "code"}
    )


def test_keys(server):
    assert server.ask("/v1/models", key=None)[0] == server.ask("/v1/models", key="no")[0] == 401
    assert server.ask("/metrics", key=None)[0] == 401 and server.ask("/health", key=None)[0] == 200


def test_somebody_hangs_up_in_the_queue():
    """An answer that has no part yet is given up, too, and what was to make it is told."""
    from meshlang.serve import api

    class Client:
        looks = 0

        async def is_disconnected(self):
            self.looks += 1
            return self.looks >= self.until

    closed = []

    async def texts(count):
        try:
            for k in range(count):
                yield f"part {k}", [k], None
            if count < 3:
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            closed.append("told")
            raise
        finally:
            closed.append(count)

    async def main(count, until):
        client = Client()
        client.until = until
        return [k async for _, (k,), _ in api._until_gone(client, texts(count))]

    async def fails():
        raise api.Failed("no")
        yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "LOOK", 0.01)
        assert asyncio.run(asyncio.wait_for(main(0, 3), 10)) == [] and closed == ["told", 0]
        assert asyncio.run(asyncio.wait_for(main(2, 4), 10)) == [0, 1] and closed == ["told", 0, "told", 2]
        assert asyncio.run(asyncio.wait_for(main(3, 99), 10)) == [0, 1, 2] and closed[4:] == [3]
        assert asyncio.run(asyncio.wait_for(main(3, 2), 10)) == [0] and closed[5:] == [3]

        async def mistaken():
            return [x async for x in api._until_gone(Client(), fails())]

        with pytest.raises(api.Failed):
            asyncio.run(mistaken())


def test_somebody_hangs_up(server):
    parts = server.stream([7, 8], 120)
    next(parts)
    parts.close()
    deadline = time.monotonic() + 20
    while server.ask("/health", key=None)[1]["running"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.ask("/health", key=None)[1]["running"] == 0


def test_the_end(server, folder):
    """SIGTERM while a stream runs: it is completed, then everything ends."""
    everything = processes(server.process.pid)
    assert len(everything) > 2
    want, tokens = greedy(folder / "second", [5, 9], 60), []
    for token in server.stream([5, 9], 60, "second"):
        tokens.append(token)
        if len(tokens) == 5:
            server.process.send_signal(signal.SIGTERM)
    assert tokens == want
    assert server.process.wait(60) == 0, (folder / "errors").read_text()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{p}").exists() for p in everything) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [p for p in everything if p in processes(p)]
    errors = (folder / "errors").read_text()
    assert "Traceback" not in errors and "internal error" not in errors


# ---------------------------------------------------------------- nothing is started


def serve(folder, capsys, config=CONFIG, *arguments, code=1):
    (folder / "other.toml").write_text(config)
    assert main(["serve", str(folder / "other.toml"), *arguments]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out + err


@pytest.mark.parametrize(
    "change, text",
    [
        (("[server]", "[server"), "is no TOML"),
        (("[server]", "[servers]"), "servers is not known\n.*did you mean server"),
        (("queue = 40", "queues = 40"), "server.queues is not known"),
        (("queue = 40", "queue = -1"), "server.queue is -1"),
        (("port = 0", "port = 70000"), "server.port is 70000"),
        (("port = 0", 'port = "a"'), "server.port is 'a'"),
        (("TEST_KEY", "NO_SUCH_KEY"), "'NO_SUCH_KEY', which is not set"),
        (("count = 2", "count = true"), "workers.count is True"),
        (("count = 2", ""), "workers.count is missing"),
        (('wafer = "7x4"', 'wafer = "7"'), "workers.wafer is '7'"),
        (('wafer = "7x4"', 'wafer = "3x4"'), "first needs 4x4 PEs"),
        (('wafer = "7x4"', 'wafer = "7x4"\nmemory = "4 tons"'), "workers.memory is '4 tons'"),
        (('wafer = "7x4"', 'wafer = "7x4"\nbandwidth = [1, 2]'), "workers.bandwidth is"),
        (('name = "second"', 'name = "first"'), r"models\[1\].name is 'first', as that of another model"),
        (('path = "second"', 'path = "third"'), r"models\[1\].path"),
        (('mesh = "3x3"', 'mesh = "0x3"'), r"models\[1\].mesh is '0x3'"),
        (("prompt = 8", "prompt = 1000"), r"models\[0\].prompt is 1000"),
        (('dtype = "f32"', 'dtype = "f64"'), r"models\[0\].dtype is 'f64'"),
        ((CONFIG[CONFIG.index("[[models]]") :], ""), "models is missing"),
        (("context = 128", "context = 100000"), "MS099"),
        (
            (
                'path = "second"\nmesh = "3x3"\ndtype = "f32"\ncontext = 128\nprompt = 8',
                'path = "image.wimg"\ncontext = 64',
            ),
            r"models\[1\].context has no use",
        ),
        ((SECOND, 'path = "image.wimg"\nmesh = "4x4"'), r"MS1614"),
        (('path = "second"', 'path = "second"\nchat_template = "none"'), r"models\[1\].chat_template is"),
    ],
)
def test_bad_configurations(folder, capsys, monkeypatch, change, text):
    monkeypatch.setenv("TEST_KEY", KEY)
    assert re.search(text, serve(folder, capsys, CONFIG.replace(*change)))


def test_check(folder, capsys, monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)
    out = serve(folder, capsys, CONFIG, "--check", code=0)
    assert "first: 4 x 4 PEs, f32, 128 tokens" in out and "second: 3 x 3 PEs" in out
    image = folder / "damaged.wimg"
    whole = (folder / "image.wimg").read_bytes()
    image.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    damaged = CONFIG.replace(SECOND, 'path = "damaged.wimg"')
    assert "MS1613" in serve(folder, capsys, damaged, "--check")
    assert main(["serve", str(folder / "nothing.toml")]) == 1
    assert "MS0901" in capsys.readouterr().err


def test_a_port_in_use_and_missing_libraries(folder, capsys, monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        err = serve(folder, capsys, CONFIG, "--port", str(other.getsockname()[1]))
    assert "MS1661" in err and "address already in use" in err and "--port 0" in err
    for module in ("fastapi", "uvicorn", "distributed", "prometheus_client"):
        with monkeypatch.context() as m:
            m.setitem(sys.modules, module, None)
            err = serve(folder, capsys)
        assert "MS1600" in err and module in err and "pip install 'meshlang[serve]'" in err


def test_templates(tmp_path):
    from meshlang import MeshlangError
    from meshlang.serve.chat import Template
    from meshlang.serve.config import ServedModel

    model = ServedModel("m", tmp_path, 4, 4, "f32", 64, 8, "wse3")
    assert Template.of(model) is None
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "{{ raise_exception('no ' + messages[0].role) }}"}))
    with pytest.raises(ValueError, match="no user"):
        Template.of(model).render([{"role": "user", "content": "a"}])
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content | tojson }}{{ ''.__class__.__mro__ }}")
    with pytest.raises(ValueError, match="unsafe"):  # a template is a stranger's program
        Template.of(model).render([{"role": "user", "content": "a"}])
    (tmp_path / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(MeshlangError, match="MS1663"):
        Template.of(model)
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "mine").write_text("mine: {{ messages[0].content }}")
    mine = Template.of(replace(model, template=tmp_path / "mine"))
    assert mine.render([{"role": "user", "content": "a"}]) == "mine: a"
    config.write_text("{")
    with pytest.raises(MeshlangError, match="MS1663"):
        Template.of(model)
