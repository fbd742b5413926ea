"""Who may ask the page for what."""

from collections.abc import Iterator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from cxrgan.web.guard import COOKIE, MAX_BODY, Guard

HERE = "http://127.0.0.1:7860"


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """Says how many bytes came."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


def client(*, host: str = "127.0.0.1", token: str | None = None, address: str = HERE) -> TestClient:
    return TestClient(Guard(behind, host=host, token=token), base_url=address, follow_redirects=False)


def test_a_visitor_on_this_machine_is_let_in() -> None:
    assert client().get("/").status_code == 200
    assert client(address="http://localhost:7860").get("/config").status_code == 200
    assert client(address="http://[::1]:7860").get("/").status_code == 200


def test_another_name_for_this_machine_is_not_answered() -> None:
    assert client(address="http://evil.example").get("/").status_code == 403


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/images/one.png"])
@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}]
)
def test_another_site_cannot_have_a_visitors_browser_ask(path: str, headers: dict[str, str]) -> None:
    assert client().post(path, headers=headers).status_code == 403


def test_a_link_from_another_site_opens_the_page() -> None:
    assert client().get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/upload",
        "/gradio_api/proxy=http://example.org",
        "/gradio_api/component_server",
        "/gradio_api/run/predict",
        "/gradio_api/call/look",
        "/docs",
        "/runs/../../etc/passwd",
        "/images/../config.json",
    ],
)
def test_what_the_page_does_not_need_is_not_there(path: str) -> None:
    assert client().get(path).status_code == 404


def test_a_large_request_is_refused_with_and_without_its_length() -> None:
    def parts() -> Iterator[bytes]:
        yield from (b"x" * 1000 for _ in range(MAX_BODY // 500))

    assert client().post("/gradio_api/queue/join", content=b"x" * (MAX_BODY + 1)).status_code == 413
    assert client().post("/gradio_api/queue/join", content=b"x" * MAX_BODY).status_code == 200
    with pytest.raises(ClientDisconnect):
        client().post("/gradio_api/queue/join", content=parts())


def test_without_the_token_nothing_is_answered() -> None:
    for path in ("/", "/config", "/images/one.png"):
        assert client(token="secret").get(path).status_code == 401
    assert client(token="secret").get("/?token=wrong").status_code == 401
    assert client(token="secret").get("/", headers={"cookie": f"{COOKIE}=wrong"}).status_code == 401


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address() -> None:
    visitor = client(token="secret")
    answer = visitor.get("/?token=secret&__theme=dark")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?__theme=dark")
    assert {"httponly", "samesite=strict"} <= set(answer.headers["set-cookie"].lower().split("; "))
    assert visitor.get("/").status_code == 200


def test_the_browser_is_told_to_let_nothing_out() -> None:
    policy = client().get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy.replace("frame-ancestors 'self'", "")
    assert client().get("/").headers["referrer-policy"] == "no-referrer"


def test_a_websocket_is_closed() -> None:
    with pytest.raises(WebSocketDisconnect), client().websocket_connect("/"):
        pass
