"""The HTTP face of the server: the part of OpenAI's API that generates text, /health and /metrics.

What a request may say is looked at here, field by field. A field that would change the answer and is not understood is refused by
name: nothing is ignored silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from meshlang.diag import MeshlangError
from meshlang.models.generate import Answer
from meshlang.models.sampling import Sampling

from .chat import Template
from .controller import Busy, Controller, Failed, Request, Served, Stopping
from .extras import needs

# fields that change nothing here
_HARMLESS = (
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    "parallel_tool_calls",
)  # fmt: skip
# fields that would change the answer, with the values at which they do not
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "logprobs": (None, False, 0),
    "top_logprobs": (None, 0),
    "echo": (None, False),
    "suffix": (None, ""),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
}
_COMMON = (
    "model", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "stream", "stream_options", "ignore_eos",
    "return_token_ids",
)  # fmt: skip
LOOK = 0.25  # seconds between two looks whether a client is still there
COMPLETION_TOKENS = 16  # what OpenAI's completions add unless told otherwise


class Refused(Exception):
    """An answer that is an error: HTTP status, message, parameter, code."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(
            self.status, "invalid_request_error" if self.status < 500 else "server_error"
        )
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


@dataclass
class Asked:
    """A request, understood."""

    model: int
    prompt: list[int]
    sampling: Sampling
    most: int
    stops: list[str]
    stream: bool
    usage: bool  # at the end of a stream
    ignore_ends: bool
    token_ids: bool
    chat: bool


# ------------------------------------------------------------ what is asked


def _field(body: dict[str, Any], name: str, kinds: tuple[type, ...], expected: str, default: Any = None) -> Any:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise Refused(400, f"{name} is {value!r}: expected {expected}", name)
    return value


def understand(body: Any, models: list[Served], templates: list[Template | None], chat: bool) -> Asked:
    """Refused, if anything is not as it should be."""
    if not isinstance(body, dict):
        raise Refused(400, "the body is no JSON object")
    known = (*_COMMON, *_HARMLESS, *(("messages", "max_completion_tokens") if chat else ("prompt",)))
    for name, value in body.items():
        if name in _NEUTRAL:
            if value not in _NEUTRAL[name]:
                raise Refused(
                    400, f"{name} is not supported: {value!r} would change the answer", name, "unsupported_parameter"
                )
        elif name not in known:
            raise Refused(400, f"there is no parameter {name!r}", name, "unknown_parameter")
    name = _field(body, "model", (str,), "the name of a model")
    number = next((i for i, m in enumerate(models) if m.spec.name == name), None)
    if number is None:
        there = ", ".join(m.spec.name for m in models)
        raise Refused(404, f"there is no model {name!r}; there are: {there}", "model", "model_not_found")
    model = models[number]
    prompt = _chat(body, model, templates[number]) if chat else _prompt(body, model)
    bad = next((t for t in prompt if not 0 <= t < model.vocabulary), None)
    if not prompt or bad is not None:
        what = (
            f"token {bad} is not one of the model's {model.vocabulary}" if prompt else "there is no token to start from"
        )
        raise Refused(400, what, "messages" if chat else "prompt")
    room = model.spec.context - len(prompt)
    default = room if chat else min(COMPLETION_TOKENS, room)
    most = _field(body, "max_tokens", (int,), "a whole number from 1 on")
    if chat:
        most = _field(body, "max_completion_tokens", (int,), "a whole number from 1 on", most)
    most = default if most is None else most
    if most < 1 and room >= 1:
        raise Refused(400, f"max_tokens is {most}: expected a whole number from 1 on", "max_tokens")
    if most > room or room < 1:
        raise Refused(
            400,
            f"a prompt of {len(prompt)} tokens and {max(most, 1)} more are longer than the model's context of {model.spec.context}",
            "messages" if chat else "prompt",
            "context_length_exceeded",
        )
    stop = _field(body, "stop", (str, list), "a text, or a list of up to four", [])
    stops = [stop] if isinstance(stop, str) else stop
    if len(stops) > 4 or not all(isinstance(s, str) and s for s in stops):
        raise Refused(400, f"stop is {stop!r}: expected a text, or a list of up to four", "stop")
    if stops and model.tokenizer is None:
        raise Refused(400, f"{name} has no tokenizer, and no text to stop at", "stop")
    stream = _field(body, "stream", (bool,), "true or false", False)
    options = _field(body, "stream_options", (dict,), "an object", {})
    return Asked(
        number,
        prompt,
        _sampling(body),
        most,
        stops,
        stream,
        bool(options.get("include_usage")) if stream else False,
        _field(body, "ignore_eos", (bool,), "true or false", False),
        _field(body, "return_token_ids", (bool,), "true or false", False) or model.tokenizer is None,
        chat,
    )


def _sampling(body: dict[str, Any]) -> Sampling:
    temperature = _field(body, "temperature", (int, float), "a number from 0 to 2", 1.0)
    top_p = _field(body, "top_p", (int, float), "a number above 0, up to 1", 1.0)
    if not 0 <= temperature <= 2:
        raise Refused(400, f"temperature is {temperature}: expected a number from 0 to 2", "temperature")
    if not 0 < top_p <= 1:
        raise Refused(400, f"top_p is {top_p}: expected a number above 0, up to 1", "top_p")
    top_k = _field(body, "top_k", (int,), "a whole number from 0 on", 0)
    seed = _field(body, "seed", (int,), "a whole number")
    try:
        return Sampling(float(temperature), top_k, float(top_p), secrets.randbits(48) if seed is None else seed % 2**63)
    except MeshlangError as error:
        raise Refused(400, error.diagnostics[0].message) from None


def _prompt(body: dict[str, Any], model: Served) -> list[int]:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], (str, list)):
        prompt = prompt[0]  # a batch of one
    if isinstance(prompt, str):
        return _encode(model, prompt, "prompt", True)
    if isinstance(prompt, list) and all(isinstance(t, int) and not isinstance(t, bool) for t in prompt):
        return prompt
    raise Refused(400, "prompt: expected a text, or a list of token numbers (one prompt a request)", "prompt")


def _chat(body: dict[str, Any], model: Served, template: Template | None) -> list[int]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "messages: expected a list of at least one message", "messages")
    plain = []
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Refused(400, f"messages[{i}]: expected an object with role and content", "messages")
        content = message.get("content")
        if isinstance(content, list):
            if not all(
                isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str) for p in content
            ):
                raise Refused(400, f"messages[{i}].content: only parts of type text are understood", "messages")
            content = "".join(p["text"] for p in content)
        if not isinstance(content, str):
            raise Refused(400, f"messages[{i}].content: expected a text", "messages")
        plain.append({**message, "content": content})
    if template is None:
        raise Refused(
            400, f"{model.spec.name} has no chat template; ask /v1/completions", "messages", "no_chat_template"
        )
    try:
        text = template.render(plain)
    except ValueError as error:
        raise Refused(400, f"the chat template refuses the messages: {error}", "messages") from None
    return _encode(model, text, "messages", False)  # templates write the tokens at the beginning themselves


def _encode(model: Served, text: str, param: str, first: bool) -> list[int]:
    if model.tokenizer is None:
        raise Refused(400, f"{model.spec.name} has no tokenizer: give token numbers", param)
    return model.tokenizer.encode(text, first)


# ------------------------------------------------------------ answers


class _Writer:
    """The objects of one answer."""

    def __init__(self, asked: Asked, model: Served):
        self.asked, self.model = asked, model
        self.id = ("chatcmpl-" if asked.chat else "cmpl-") + secrets.token_hex(12)
        self.created = int(time.time())

    def _object(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model.spec.name,
            "choices": choices,
            **more,
        }

    def part(self, text: str, tokens: list[int], finish: str | None = None, first: bool = False) -> dict[str, Any]:
        """A part of a stream."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        if self.asked.chat:
            delta: dict[str, Any] = (
                {"role": "assistant", "content": text} if first else {"content": text} if text else {}
            )
            choice["delta"] = delta
        else:
            choice["text"] = text
        if self.asked.token_ids:
            choice["token_ids"] = tokens
        more: dict[str, Any] = {"usage": None} if self.asked.usage else {}
        return self._object("chat.completion.chunk" if self.asked.chat else "text_completion", [choice], **more)

    def usage(self, request: Request) -> dict[str, Any]:
        prompt, new = len(request.prompt), len(request.tokens)
        return {"prompt_tokens": prompt, "completion_tokens": new, "total_tokens": prompt + new}

    def last(self, request: Request) -> dict[str, Any]:
        return {**self.part("", []), "choices": [], "usage": self.usage(request)}

    def whole(self, text: str, tokens: list[int], finish: str, request: Request) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        if self.asked.chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        if self.asked.token_ids:
            choice["token_ids"] = tokens
        return self._object(
            "chat.completion" if self.asked.chat else "text_completion", [choice], usage=self.usage(request)
        )


async def _texts(
    controller: Controller, asked: Asked, request: Request
) -> AsyncGenerator[tuple[str, list[int], str | None], None]:
    """Text, tokens, and why it ended (with the last): "stop", "length"."""
    model = controller.models[asked.model]
    answer = Answer(model.tokenizer, asked.stops)
    async with contextlib.aclosing(controller.parts(request)) as parts:
        async for part in parts:
            text, used = "", []
            for token in part:
                used.append(token)
                text += answer.add(token)
                if answer.stopped:
                    break
            if answer.stopped:
                yield text + answer.rest(), used, "stop"
                return
            yield text, used, None
    ended = bool(request.tokens) and request.tokens[-1] in request.ends
    yield answer.rest(), [], "stop" if ended else "length"


def error_of(error: Exception) -> Refused:
    if isinstance(error, Busy):
        return Refused(429, f"the server is busy: {error}", code="queue_full")
    if isinstance(error, Stopping):
        return Refused(503, str(error), code="unavailable")
    assert isinstance(error, Failed)
    return Refused(504 if error.late else 500, str(error), code=error.code or ("timeout" if error.late else None))


_ERRORS = (Busy, Stopping, Failed)


def build(controller: Controller) -> Any:
    """The ASGI application."""
    fastapi = needs("fastapi", "serve", "meshlang serve")
    responses = needs("fastapi.responses", "serve", "meshlang serve")
    app = fastapi.FastAPI(title="MeshLang", docs_url=None, redoc_url=None, openapi_url=None)
    templates = [Template.of(m.spec) if m.tokenizer is not None else None for m in controller.models]
    keys = [k.encode() for k in controller.config.keys]
    began = int(time.time())

    def answer(refused: Refused) -> Any:
        headers = {"Retry-After": "1"} if refused.status in (429, 503) else {}
        return responses.JSONResponse(refused.body(), refused.status, headers)

    def allowed(request: Any) -> None:
        given = request.headers.get("authorization", "")
        scheme, _, key = given.partition(" ")
        if keys and not (
            scheme.lower() == "bearer" and any(hmac.compare_digest(key.strip().encode(), k) for k in keys)
        ):
            raise Refused(401, "the API key is missing or wrong", code="invalid_api_key")

    async def generate(request: Any, chat: bool) -> Any:
        allowed(request)
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise Refused(400, "the body is no JSON") from None
        asked = understand(body, controller.models, templates, chat)
        model = controller.models[asked.model]
        ends = frozenset() if asked.ignore_ends else model.ends
        running = controller.submit(asked.model, asked.prompt, asked.sampling, asked.most, ends)
        writer = _Writer(asked, model)
        if asked.stream:
            return responses.StreamingResponse(
                _stream(controller, asked, running, writer), media_type="text/event-stream"
            )
        text, tokens, finish = "", list[int](), "length"
        async for piece, used, why in _until_gone(request, _texts(controller, asked, running)):
            text, tokens, finish = text + piece, tokens + used, why or finish
        return responses.JSONResponse(writer.whole(text, tokens, finish, running))

    def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
        async def handle(request: Any) -> Any:
            try:
                return await handler(request)
            except Refused as refused:
                return answer(refused)
            except _ERRORS as error:
                return answer(error_of(error))

        handle.__annotations__["request"] = fastapi.Request  # what tells FastAPI to hand it over
        return handle

    async def models(request: Any) -> Any:
        allowed(request)
        data = [
            {"id": m.spec.name, "object": "model", "created": began, "owned_by": "meshlang"} for m in controller.models
        ]
        return responses.JSONResponse({"object": "list", "data": data})

    async def model(request: Any) -> Any:
        allowed(request)
        name = request.path_params["name"]
        if not any(m.spec.name == name for m in controller.models):
            raise Refused(404, f"there is no model {name!r}", "model", "model_not_found")
        return responses.JSONResponse({"id": name, "object": "model", "created": began, "owned_by": "meshlang"})

    async def chat_completions(request: Any) -> Any:
        return await generate(request, True)

    async def completions(request: Any) -> Any:
        return await generate(request, False)

    async def health(request: Any) -> Any:
        good = controller.alive > 0 and not controller.stopping
        body = {
            "status": "ok" if good else "stopping" if controller.stopping else "no workers",
            "workers": controller.alive,
            "workers_wanted": controller.config.workers.count,
            "running": len(controller.running),
            "waiting": len(controller.waiting),
        }
        return responses.JSONResponse(body, 200 if good else 503)

    async def elsewhere(request: Any, error: Any) -> Any:
        """No such path, or not by this method."""
        known = "/v1/models, /v1/completions, /v1/chat/completions, /health, /metrics"
        return answer(
            Refused(error.status_code, f"{request.method} {request.url.path}: {error.detail}; there are {known}")
        )

    async def metrics(request: Any) -> Any:
        allowed(request)
        return responses.Response(controller.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.add_exception_handler(404, elsewhere)
    app.add_exception_handler(405, elsewhere)
    app.get("/v1/models")(guarded(models))
    app.get("/v1/models/{name:path}")(guarded(model))
    app.post("/v1/chat/completions")(guarded(chat_completions))
    app.post("/v1/completions")(guarded(completions))
    app.get("/health")(guarded(health))
    app.get("/metrics")(guarded(metrics))
    return app


async def _until_gone(request: Any, texts: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The parts of an answer that is sent as a whole, as long as somebody waits for it, be it in the queue."""
    async with contextlib.aclosing(texts) as parts:
        while True:
            following = asyncio.ensure_future(anext(parts, None))
            try:
                while not (await asyncio.wait([following], timeout=LOOK))[0]:
                    if await request.is_disconnected():
                        return
            finally:
                following.cancel()
                await asyncio.wait([following])
            if (part := following.result()) is None or await request.is_disconnected():
                return
            yield part


async def _stream(controller: Controller, asked: Asked, request: Request, writer: _Writer) -> AsyncGenerator[str, None]:
    """Server-sent events."""

    def event(content: dict[str, Any]) -> str:
        return f"data: {json.dumps(content)}\n\n"

    first = True
    try:
        async with contextlib.aclosing(_texts(controller, asked, request)) as texts:
            async for text, tokens, finish in texts:
                if text or tokens or finish:
                    yield event(writer.part(text, tokens, finish, first))
                    first = False
        if asked.usage:
            yield event(writer.last(request))
        yield "data: [DONE]\n\n"
    except _ERRORS as error:
        yield event(error_of(error).body())
