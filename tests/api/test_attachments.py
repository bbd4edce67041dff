"""Files that came with messages: who gets at them, how they are served, when they are erased."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from adapters.loopback import Loopback
from router.api.routes.attachments import POLICIES
from router.channel import Address, NewContact, NewMessage
from router.errors import Invalid
from tests.api.site import Client, Site

NUMBER = "+4930192837465"
SECRET = b"the canary sings in a file" * 100
NAME = "..\\..\\invoice\u202etxt.exe\n.pdf"


def texts(site: Site) -> Loopback:
    adapter = site.server.hosts["oak"].channels.get("texts")
    assert isinstance(adapter, Loopback)
    return adapter


def below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def with_files(site: Site, *files: tuple[bytes, str, str]) -> tuple[str, str, list[str]]:
    """A contact whose first message has these files (bytes, declared type, role)."""
    router = texts(site).router
    kept = [await router.attach(d, name=NAME, kind=kind, role=role) for d, kind, role in files]
    new = NewContact(
        external_id="x1",
        customer=Address(address=NUMBER),
        to="+4930555300",
        message=NewMessage(id="m1", text="see the file", attachments=tuple(kept)),
    )
    receipt = await router.submit(new)
    admin = await site.client("admin")
    page = (await admin("GET", f"/v1/contacts/{receipt.contact}/messages")).body
    (message,) = page["messages"]
    return receipt.contact, message["id"], [each["id"] for each in message["attachments"]]


async def link(client: Client, contact: str, message: str, attachment: str) -> str:
    body = {"message": message, "attachment": attachment}
    answer = await client("POST", f"/v1/contacts/{contact}:link-attachment", body)
    assert answer.status == 200, answer.body
    return str(answer.body["url"])


async def test_a_file_is_downloaded_by_a_link_and_by_nothing_else(site: Site) -> None:
    contact, message, (id_,) = await with_files(
        site, (b"MZ\x90\0 not a page", "text/html", "attachment")
    )
    admin = await site.client("admin")
    (view,) = (await admin("GET", f"/v1/contacts/{contact}/messages")).body["messages"]
    assert view["attachments"] == [
        {"id": id_, "name": "invoicetxt.exe.pdf", "type": "application/octet-stream", "size": 15}
    ]
    url = await link(admin, contact, message, id_)
    answer = await site.anybody()("GET", url)
    assert (answer.status, answer.body) == (200, b"MZ\x90\0 not a page")
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    middle = len(url) // 2
    bent = url[:middle] + ("A" if url[middle] != "A" else "B") + url[middle + 1 :]
    for wrong in (bent, "/v1/files", "/v1/files?ticket=AAAA", url[:-4]):
        assert (await site.anybody()("GET", wrong)).status == 403


async def test_a_link_ends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    contact, message, (id_,) = await with_files(site, (b"x", "", "attachment"))
    monkeypatch.setattr("router.api.routes.attachments.LINK_US", -1)
    url = await link(await site.client("admin"), contact, message, id_)
    assert (await site.anybody()("GET", url)).code == "ticket"


async def test_who_may_not_read_the_contact_gets_no_link(site: Site) -> None:
    contact, message, (id_,) = await with_files(site, (b"x", "", "attachment"))
    body = {"message": message, "attachment": id_}
    path = f"/v1/contacts/{contact}:link-attachment"
    assert (await (await site.client("admin", "elm"))("POST", path, body)).status == 404
    assert (await (await site.client("agent"))("POST", path, body)).status == 404
    assert (await (await site.client("adapter"))("POST", path, body)).status == 403
    for wrong in ({"attachment": "f" * 32}, {"message": "m0"}):
        answer = await (await site.client("admin"))("POST", path, {**body, **wrong})
        assert answer.status == 404


async def test_the_body_of_an_email_is_shown_in_a_sandbox(site: Site) -> None:
    contact, message, (id_,) = await with_files(site, (b"<p>Hello</p>", "text/html", "html"))
    url = await link(await site.client("admin"), contact, message, id_)
    answer = await site.anybody()("GET", url)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == POLICIES["html"]
    assert b"<p>Hello</p>" in answer.body
    policy = POLICIES["html"]
    assert policy.startswith(
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'"
    )
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy


async def test_what_is_stored_cannot_be_read_from_the_disk(site: Site, tmp_path: Path) -> None:
    await with_files(site, (SECRET, "text/plain", "attachment"))
    assert [path for path in below(tmp_path) if SECRET[:26] in path.read_bytes()] == []
    assert below(tmp_path / "attachments" / "oak")


async def test_an_erased_customers_files_are_gone_and_copies_cannot_be_opened(
    site: Site, tmp_path: Path
) -> None:
    admin = await site.client("admin")
    identity = {"channel": "sms", "address": NUMBER}
    await admin("PUT", "/v1/customers/kim", {"name": "Kim", "identities": [identity]})
    contact, message, (id_,) = await with_files(site, (SECRET, "text/plain", "attachment"))
    url = await link(admin, contact, message, id_)
    (stored,) = below(tmp_path / "attachments" / "oak")
    copy = stored.read_bytes()
    assert (await admin("POST", f"/v1/contacts/{contact}:cancel", {})).status == 200
    assert (await admin("POST", "/v1/customers/kim:erase", {})).status == 200
    assert not stored.exists()
    stored.write_bytes(copy)  # a backup was brought back
    assert (await site.anybody()("GET", url)).status == 404
    host = site.server.hosts["oak"]
    assert await host.messages.one(contact, message) is None


async def test_bounds_and_roles_are_kept(site: Site) -> None:
    router = texts(site).router
    with pytest.raises(Invalid, match="at most"):
        await router.attach(bytes(25 * 1024 * 1024 + 1), name="big")
    with pytest.raises(Invalid, match="role"):
        await router.attach(b"x", name="x", role="script")
    kept = await router.attach(b"", name="")
    assert (kept["name"], kept["size"], len(base64.b64decode(kept["key"]))) == ("file", 0, 32)


@pytest.mark.parametrize(
    "forged",
    [
        {"id": "../../../../etc/passwd"},
        {"id": "x" * 32},
        {"type": "text/html\r\nSet-Cookie: a=b"},
        {"type": "text"},
    ],
)
async def test_a_file_that_an_adapter_elsewhere_makes_up_is_none_and_in_nobodys_way(
    site: Site, forged: dict[str, str]
) -> None:
    router = texts(site).router
    kept = await router.attach(SECRET, name="a.pdf")
    made_up = {"id": "0" * 32, "name": "b", "type": "text/plain", "size": 1, "key": "", **forged}
    new = NewContact(
        external_id="x1",
        customer=Address(address=NUMBER),
        to="+4930555300",
        message=NewMessage(id="m1", text="see the files", attachments=(made_up, kept)),
    )
    contact = (await router.submit(new)).contact
    admin = await site.client("admin")
    (view,) = (await admin("GET", f"/v1/contacts/{contact}/messages")).body["messages"]
    assert [each["id"] for each in view["attachments"]] == [kept["id"]]
    assert len(below(site.server.data / "attachments")) == 1
    await router.left("x1", "gone")
    customer = (await admin("GET", f"/v1/contacts/{contact}")).body["customer"]
    assert (await admin("POST", f"/v1/customers/{customer}:erase", {})).status == 200
    assert below(site.server.data / "attachments") == []


async def test_a_file_that_no_message_names_can_be_removed(site: Site) -> None:
    router = texts(site).router
    gone, kept = [await router.attach(SECRET, name=name) for name in ("a.pdf", "b.pdf")]
    await router.discard(gone)
    await router.discard(gone)  # twice is harmless
    await router.discard({"id": "../../../../etc/passwd"})
    stored = [path.name for path in below(site.server.data / "attachments")]
    assert stored == [kept["id"]]


async def test_a_name_that_an_adapter_elsewhere_makes_up_adds_no_header(site: Site) -> None:
    router = texts(site).router
    kept = await router.attach(b"hello", name="a.txt") | {"name": 'a"\r\nSet-Cookie: a=b\r\n\r\nx'}
    new = NewContact(
        external_id="x1",
        customer=Address(address=NUMBER),
        to="+4930555300",
        message=NewMessage(id="m1", text="see the file", attachments=(kept,)),
    )
    contact = (await router.submit(new)).contact
    admin = await site.client("admin")
    (view,) = (await admin("GET", f"/v1/contacts/{contact}/messages")).body["messages"]
    got = await site.anybody()("GET", await link(admin, contact, view["id"], kept["id"]))
    assert (got.status, got.body) == (200, b"hello")
    assert "Set-Cookie" not in got.headers
