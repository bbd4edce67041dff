"""A visitor's file through a real server: to the agent's download, and past a kill."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.adapters.documented import serving
from tests.runtime.server import Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

SHOP = "https://www.example.com"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
CONFIG = """
queues:
  sales: {target: {chat: 1m}}
entry_points:
  site: {channel: chat, address: site, queue: sales}
profiles:
  sales: {sales: 1}
adapters:
  site: {type: webchat, channel: chat, key: my-site, origins: ["https://www.example.com"],
         secret_file: SECRET, files: true}
agents:
  ana: {name: Ana, profile: sales}
"""


async def enter(served: Served, token: str) -> tuple[aiohttp.ClientWebSocketResponse, str]:
    """An open page, and its token."""
    socket = await served.session.ws_connect("/v1/webchat/site/ws", headers={"Origin": SHOP})
    await socket.send_json({"type": "hello", "key": "my-site", "token": token})
    welcome = await socket.receive_json(timeout=30)
    assert (welcome["type"], welcome["files"]) == ("welcome", True)
    return socket, welcome["token"]


async def upload(served: Served, token: str) -> str:
    headers = {"Origin": SHOP, "Webchat-Token": token, "Webchat-File-Name": "page.html"}
    async with served.session.post("/v1/webchat/site/files", data=PNG, headers=headers) as answer:
        body = await answer.json()
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (201, SHOP), body
        return str(body["id"])


async def say(socket: aiohttp.ClientWebSocketResponse, id_: str, file: str) -> str:
    """``message`` or why not."""
    await socket.send_json({"type": "say", "id": id_, "text": "", "files": [file]})
    while True:
        frame = await socket.receive_json(timeout=30)
        if frame.get("id") == id_:
            return str(frame.get("code", frame["type"]))


async def test_a_file_reaches_the_agent_as_it_was_sent_and_once(tmp_path: Path) -> None:
    async with serving(tmp_path, CONFIG.replace("SECRET", str(tmp_path / "token")), {}) as served:
        socket, token = await enter(served, "")
        assert await say(socket, "m1", await upload(served, token)) == "message"
        forgotten = await upload(served, token)
        await socket.close()
        await served.kill()
        await served.start()
        socket, token = await enter(served, token)
        assert await say(socket, "m1", forgotten) == "message", "said again: it is there"
        assert await say(socket, "m2", forgotten) == "no_file"
        assert await say(socket, "m2", await upload(served, token)) == "message"
        await socket.close()
        [row] = (await served.good("GET", "/v1/contacts"))["contacts"]
        path = f"/v1/contacts/{row['id']}"
        messages = (await served.good("GET", f"{path}/messages"))["messages"]
        assert [message["text"] for message in messages] == ["page.html.png"] * 2
        for message in messages:
            (file,) = message["attachments"]
            assert (file["name"], file["type"]) == ("page.html.png", "image/png")
            body = {"message": message["id"], "attachment": file["id"]}
            link = await served.good("POST", f"{path}:link-attachment", body)
            async with served.session.get(link["url"]) as answer:
                assert (answer.status, await answer.read()) == (200, PNG)
        async with served.session.get("/widget_files.js") as module:
            assert module.headers["Access-Control-Allow-Origin"] == "*"
            assert module.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert await served.stop() == 0
        log = (tmp_path / "log").read_text()
        assert "Traceback" not in log
        assert "page.html" not in log
