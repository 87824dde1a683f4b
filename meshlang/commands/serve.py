"""`meshlang serve`: models behind an HTTP API, on workers with simulated wafers."""

from __future__ import annotations

import argparse
import errno
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshlang.serve.config import Config
    from meshlang.serve.controller import Served

HELP = "serve models with an OpenAI-compatible HTTP API on simulated wafers"
DESCRIPTION = """\
Start a controller with an HTTP API (the part of OpenAI's that generates text) and workers, each a process with a simulated wafer on which the models
of CONFIG are loaded as they are asked for. CONFIG is TOML; docs/serving.md says what may be in it.
"""
EXAMPLES = """\
examples:
  meshlang serve cluster.toml                          workers on this machine, http://127.0.0.1:8343/v1
  meshlang serve cluster.toml --port 0                 a free port, which is printed
  meshlang serve cluster.toml --check                  say what is wrong with the file and its models, start nothing
  meshlang serve cluster.toml --scheduler tcp://10.0.0.1:8786      on workers that `dask worker` has started

cluster.toml:
  [workers]
  count = 2
  wafer = "64x64"

  [[models]]
  name = "tiny"
  path = "models/tiny"        # a folder with config.json and *.safetensors
  mesh = "8x8"

Needs the extra: pip install 'meshlang[serve]'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a TOML file")
    parser.add_argument("--host", metavar="ADDRESS", help="where to listen (default: the file's, or 127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="N", help="where to listen (default: the file's, or 8343); 0: any")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="use the workers of this Dask scheduler")
    parser.add_argument(
        "--check", action="store_true", help="read the file and all of the models, say what is wrong, and end"
    )


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.serve import config as configuration
    from meshlang.serve.controller import inspect_model
    from meshlang.serve.extras import needs

    config = configuration.read(args.config)
    if args.port is not None and not 0 <= args.port <= 65535:
        raise usage_error(f"--port {args.port}: expected 0 to 65535")
    config = replace(config, host=args.host or config.host, port=config.port if args.port is None else args.port)
    models = [inspect_model(spec, all_of_it=args.check) for spec in config.models]
    if args.check:
        for model in models:
            print(_describe(model))
        return 0
    for module in ("distributed", "fastapi", "uvicorn", "prometheus_client"):
        needs(module, "serve", "meshlang serve")
    with _listen(config) as listening:
        return _run(config, models, args.scheduler, listening)


def _describe(model: Served) -> str:
    spec = model.spec
    return (
        f"{spec.name}: {spec.width} x {spec.height} PEs, {spec.dtype}, {spec.context} tokens, {model.weights / 1e6:,.1f} MB of weights, "
        f"{'text' if model.tokenizer else 'token numbers only'}"
    )


def _listen(config: Config) -> socket.socket:
    """A socket of our own, so that a port in use is found before anything starts. MS1661."""
    from meshlang.diag import Diagnostic, MeshlangError

    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((config.host, config.port))
        found.listen(256)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            help = "an address of this machine: --host 127.0.0.1, or --host 0.0.0.0 for all of them"
        else:
            help = "another port: --port N, or --port 0 for a free one"
        raise MeshlangError(
            Diagnostic(
                "MS1661",
                f"cannot listen at {config.host} port {config.port}: {(error.strerror or str(error)).lower()}",
                help=help,
            )
        ) from None
    return found


def _run(config: Config, models: list[Served], scheduler: str | None, listening: socket.socket) -> int:
    import asyncio
    import contextlib

    import uvicorn

    from meshlang.diag import MeshlangError
    from meshlang.serve.api import build
    from meshlang.serve.controller import Controller

    failed: list[MeshlangError] = []

    async def main() -> None:
        controller = Controller(config, models, scheduler)
        app = build(controller)
        try:
            await controller.start()
        except MeshlangError as error:
            failed.append(error)
            return
        try:
            host, port = listening.getsockname()[:2]
            if config.host not in ("127.0.0.1", "::1", "localhost") and not config.keys:
                print(
                    "meshlang: warning: anybody who reaches this address may ask: server.api_key is not set",
                    file=sys.stderr,
                )
            shown = f"[{host}]" if ":" in host else host
            names = ", ".join(m.spec.name for m in models)
            print(f"meshlang: serving {names} at http://{shown}:{port}/v1 with {controller.alive} workers", flush=True)
            settings = uvicorn.Config(
                app, log_level="warning", access_log=False, lifespan="off", loop="asyncio",
                timeout_graceful_shutdown=int(config.grace) + 1,
            )  # fmt: skip
            server = _Server(settings, controller)
            await server.serve(sockets=[listening])
        finally:
            await controller.close()

    class _Server(uvicorn.Server):
        """Tells the controller first: what runs gets its time to end, what waits is told."""

        def __init__(self, settings: uvicorn.Config, controller: Controller):
            super().__init__(settings)
            self.controller = controller

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """As uvicorn's, but that the signal does not end the process afterwards: workers have to be told, too."""
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.handle_exit, number, None)
            yield

        async def shutdown(self, sockets: Any = None) -> None:
            await self.controller.finish()
            await super().shutdown(sockets)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
    if failed:
        raise failed[0]
    return 0
