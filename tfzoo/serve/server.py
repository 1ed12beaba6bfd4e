"""The embedded server: TensorFlow Serving's REST API for one machine, without importing TensorFlow.

    socket -> event loop (aiohttp) -> queue of limited length -> worker threads -> Session.run
    watcher thread: looks for new versions every `poll_seconds`

    python -m tfzoo.serve.child out/bert --port 8501

Stops on SIGTERM or SIGINT: accepts nothing new, finishes what is running, exits 0.

Easy to get wrong: nothing slow may run in the event loop, not even parsing JSON; a full queue must
answer 503 at once, or clients wait for answers that nobody wants any more.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import logging as std_logging
import os
import pathlib
import signal
import socket
import threading
from collections.abc import Callable

from absl import logging
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from tfzoo.core.errors import UserError
from tfzoo.export.session import Session
from tfzoo.serve import catalog, warm_up
from tfzoo.serve.api import Api, Reply, failure
from tfzoo.serve.errors import error_body
from tfzoo.serve.versions import Model

_LINGER_SECONDS = 2  # for the rest of a body that was refused, so that the client hears of it
_BODY_SECONDS = 60  # a client that sends slower than this holds nothing but its own connection


@dataclasses.dataclass(frozen=True)
class Options:
    """How a server works.

    Attributes:
        workers: requests that run at once; each may use all of TensorFlow's threads.
        queue_size: requests that wait for a worker; one more is answered 503.
        threads: TensorFlow's threads for one request; None for one a core.
        poll_seconds: how often the folders are looked at for new versions; 0 for never.
        max_body_bytes: a longer request is answered 413.
        drain_seconds: how long running requests may take after SIGTERM.
        library_folder: the site-packages folder of another TensorFlow; None for this Python's.
    """

    workers: int = dataclasses.field(default_factory=lambda: max(4, os.cpu_count() or 1))
    queue_size: int = 256
    threads: int | None = None
    poll_seconds: float = 1.0
    max_body_bytes: int = 64 * 2**20
    drain_seconds: float = 30.0
    library_folder: str | None = None

    def __post_init__(self) -> None:
        least = {
            "workers": 1, "queue_size": 0, "poll_seconds": 0, "max_body_bytes": 1,
            "drain_seconds": 0,
        }  # fmt: skip
        for name, limit in least.items():
            value = getattr(self, name)
            if not value >= limit:
                raise UserError(f"{name} must be {limit} or more. Received: {name}={value}")


def serve(
    base_path: str | os.PathLike[str],
    name: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8501,
    options: Options | None = None,
    announce: Callable[[str], None] = print,
) -> None:
    """Serves models until SIGTERM or SIGINT; for the main thread of a process.

    Args:
        base_path: a model's folder of versions, a folder of such folders, or a models.config file.
        name: the name of the one model to serve; None for its folder's name, or for all of them.
        host: the address to listen on; "0.0.0.0" lets other machines in.
        port: 0 takes any free one.
        options: see Options.
        announce: is given one line a model when all of them are ready.

    Raises:
        UserError: when there is no model, none of a model's versions loads, or the port is taken.
    """
    folders = catalog.find_models(base_path, name)
    server = Server(folders, options or Options())
    with _listen(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server.run(listener, announce))


class Server:
    """Models, worker threads and the HTTP side of one process.

    Args:
        folders: the folder of versions of each model, by name.
        options: see Options.
    """

    def __init__(self, folders: dict[str, pathlib.Path], options: Options) -> None:
        self._options = options
        self._models = {n: Model(n, f, self._load) for n, f in folders.items()}
        self._api = Api(self._models)
        self._pool = concurrent.futures.ThreadPoolExecutor(options.workers, "worker")
        self._pending = 0
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    async def run(self, listener: socket.socket, announce: Callable[[str], None]) -> None:
        """Serves on a listening socket until a signal comes; see `serve`."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        app = web.Application(client_max_size=self._options.max_body_bytes)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=self._options.drain_seconds,
            lingering_time=_LINGER_SECONDS,
            logger=_http_logger(),
        )
        await runner.setup()
        await web.SockSite(runner, listener, backlog=1024).start()
        loading: asyncio.Future[object] = loop.run_in_executor(None, self._load_all)
        stopping: asyncio.Future[object] = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                loading.result()
                self._announce(listener, announce)
                self._watcher.start()
                await stopping
                logging.info("stopping: finishing %d requests", self._pending)
        finally:
            stopping.cancel()
            self._stopped.set()
            await runner.cleanup()
            self._pool.shutdown(cancel_futures=True)
            if self._watcher.ident is not None:  # TensorFlow is not to be left in mid-load
                self._watcher.join(self._options.drain_seconds)

    async def _handle(self, request: web.Request) -> web.Response:
        path = request.raw_path.partition("?")[0]
        if not self._api.is_inference(request.method, path):
            return _response(self._api.answer(request.method, path))
        if self._pending >= self._options.workers + self._options.queue_size:
            return _response(self._full())
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await self._body(request)
        except TimeoutError:
            return _closing(408, f"The body did not arrive within {_BODY_SECONDS} seconds")
        except web.HTTPRequestEntityTooLarge:
            limit = self._options.max_body_bytes
            return _closing(413, f"The body is too long. Expected at most {limit} bytes")
        except web.HTTPException as error:
            return _closing(error.status, error.reason)
        except Exception as error:  # a broken encoding of the body, or a client that went away
            return _closing(400, f"The body cannot be read: {' '.join(str(error).split())}")
        if self._pending >= self._options.workers + self._options.queue_size:
            return _response(self._full())
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(
                self._pool, self._api.answer, request.method, path, body
            )
        finally:
            self._pending -= 1
        return _response(reply)

    async def _body(self, request: web.Request) -> bytes:
        if (request.content_length or 0) > self._options.max_body_bytes:
            raise web.HTTPRequestEntityTooLarge(
                max_size=self._options.max_body_bytes, actual_size=request.content_length or 0
            )
        return await request.read()

    def _full(self) -> Reply:
        size = self._options.queue_size
        return failure("UNAVAILABLE", f"The server is busy: {size} requests are waiting. Try again")

    def _load(self, folder: pathlib.Path) -> Session:
        session = Session(folder, self._options.threads, self._options.library_folder)
        try:
            count = warm_up.run(session, folder)
        except BaseException:
            session.close()
            raise
        if count:
            logging.info("%s is warmed up by %d requests", folder, count)
        return session

    def _load_all(self) -> None:
        for model in self._models.values():
            model.refresh()
            if not model.is_available:
                version = model.status()[0]
                raise UserError(
                    f"model {model.name!r} cannot be served: version {version['version']}: "
                    f"{version['status']['error_message']}"
                )

    def _watch(self) -> None:
        seconds = self._options.poll_seconds
        while seconds and not self._stopped.wait(seconds):
            for model in self._models.values():
                try:
                    model.refresh()
                except Exception:  # a bug or a broken disk; what is loaded goes on serving
                    logging.exception("looking for new versions of %s failed", model.name)

    def _announce(self, listener: socket.socket, announce: Callable[[str], None]) -> None:
        host, port = listener.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        for name, model in self._models.items():
            with model.lease() as (number, _):
                announce(
                    f"Serving {name} (version {number}) at http://{host}:{port}/v1/models/{name}"
                )


def _http_logger() -> std_logging.Logger:
    """The log of aiohttp without a traceback for what a client did wrong, or for its going away."""
    logger = std_logging.getLogger("tfzoo.serve.http")
    if not logger.filters:
        logger.addFilter(_is_our_fault)
    return logger


def _is_our_fault(record: std_logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, web.RequestPayloadError, ConnectionError))


def _response(reply: Reply) -> web.Response:
    # Half of a surrogate pair can come in by an escape and go out in an error's text.
    body = reply.body.encode("utf-8", "replace")
    return web.Response(status=reply.status, body=body, content_type=reply.content_type)


def _closing(status: int, message: str) -> web.Response:
    """An error after which the rest of the body is not read."""
    response = _response(Reply(status, error_body(message)))
    response.force_close()
    return response


def _listen(host: str, port: int) -> socket.socket:
    received = f"Received: host={host!r}, port={port}"
    if not 0 <= port <= 65535:
        raise UserError(f"a port is a number from 0 to 65535. {received}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except socket.gaierror:
        raise UserError(f"no such address to listen on. {received}") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(
            f"cannot listen there: {reason}. {received}. Choose another port; 0 takes any free one"
        ) from None
