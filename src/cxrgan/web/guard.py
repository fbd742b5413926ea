"""Who may ask the page for what: addresses, tokens, other sites, sizes; the same rules for every request.

An ASGI middleware, so that nothing behind it has to think of it.
"""

import hmac
import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "cxrgan-token"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_BODY = 2**16  # bytes: names and numbers
SAFE = frozenset({"GET", "HEAD"})

OPEN = re.compile(
    r"/(|config|theme\.css|manifest\.json|favicon\.ico|assets/.*|static/.*"
    r"|images/[a-z.]+|runs/[a-z.]+|studies/[a-z.]+|views/[a-z.]+"
    r"|gradio_api/(info|startup-events|queue/(join|data)|heartbeat/[a-z0-9]+|cancel|reset))"
)
"""Paths of this page, and those of Gradio that it needs: no uploads, no files of the machine, no proxy."""

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors {parents}"
)
"""The browser itself lets nothing out, whatever Gradio's scripts or a name in a run ask for."""


class Guard:
    """Lets the requests through that are allowed, and has every answer say what a browser may do with it."""

    def __init__(self, app: ASGIApp, *, host: str, token: str | None, parents: str = "'self'") -> None:
        self._app, self._host, self._token = app, host, token
        self._headers = {
            "content-security-policy": POLICY.format(parents=parents),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page has no use for a WebSocket
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        refused = self._refused(scope, headers)
        if refused:
            await PlainTextResponse(refused[1] + "\n", refused[0])(scope, receive, send)
            return
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token", "")
        if self._token is not None and self._is_token(given) and scope["method"] in SAFE:
            await self._welcome(scope)(scope, receive, send)
            return
        await self._app(scope, _bounded(receive), self._marked(send))

    def _refused(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """The status and the reason; None for a request that may go on."""
        host = headers.get("host", "")
        if self._host in LOOPBACK and _name(host) not in LOOPBACK:
            return 403, "this page is for this machine alone"  # another site's name that leads here (DNS rebinding)
        site = headers.get("sec-fetch-site", "none")
        origin = headers.get("origin")
        foreign = site == "cross-site" or (origin is not None and urlsplit(origin).netloc != host)
        if foreign and not (scope["method"] in SAFE and scope["path"] == "/"):
            return 403, "this page answers its own requests alone"
        if not OPEN.fullmatch(scope["path"]):
            return 404, "there is nothing here"
        if int(headers.get("content-length") or 0) > MAX_BODY:
            return 413, f"a request may have {MAX_BODY} bytes"
        if self._token is not None and not self._has_token(scope, headers):
            return 401, "open the address with ?token=..., as the terminal shows it"
        return None

    def _has_token(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token", "")
        return self._is_token(given) or (cookie is not None and self._is_token(cookie.value))

    def _is_token(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def _welcome(self, scope: Scope) -> RedirectResponse:
        """From an address with the token to the same without it, which no history and no screenshot gives away."""
        query = [(name, value) for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name != "token"]
        answer = RedirectResponse(scope["path"] + ("?" + urlencode(query) if query else ""), 303)
        answer.set_cookie(COOKIE, self._token or "", httponly=True, samesite="strict")
        return answer

    def _marked(self, send: Send) -> Send:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return marked


def _name(host: str) -> str:
    """`127.0.0.1:7860` -> `127.0.0.1`, `[::1]:7860` -> `::1`."""
    return urlsplit(f"//{host}").hostname or ""


def _bounded(receive: Receive) -> Receive:
    """A body without a length is cut off where it is too long."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= MAX_BODY else {"type": "http.disconnect"}

    return bounded
