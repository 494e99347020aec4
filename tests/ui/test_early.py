"""The script that runs before gradio's: in every page, and in nothing else."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from explorer.ui.early import SCRIPT, EarlyScript

PAGE = "<!doctype html><html><head><title>é</title></head><body><head></body></html>"


def page(_: Request) -> Response:
    return HTMLResponse(PAGE)


def data(_: Request) -> Response:
    return JSONResponse({"html": "<head>"})


def stream(_: Request) -> Response:
    return StreamingResponse(iter(["<head>", "<head>"]), media_type="text/html")


@pytest.fixture
def client() -> TestClient:
    routes = [Route("/", page), Route("/data", data), Route("/stream", stream)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(EarlyScript)]))


def test_a_page_begins_with_the_script(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.text == PAGE.replace("<head>", f"<head>{SCRIPT.decode()}", 1)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert b"</script" not in SCRIPT.removesuffix(b"</script>")


def test_what_is_no_whole_page_stays_as_it_is(client: TestClient) -> None:
    assert client.get("/data").json() == {"html": "<head>"}
    assert client.get("/stream").text == "<head><head>"
