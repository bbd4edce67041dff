"""SMPP over TLS: the centre's certificate is checked, against the machine's or a file's."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.smpp import Smpp
from router.channel import ChannelLost
from router.testing.adapter_harness import RouterDouble, Signal
from tests.adapters.smsc_peer import SmppHarness, Smsc, needs_smsc, settings_for

pytestmark = [pytest.mark.peer, needs_smsc]


def certificate(folder: Path, host: str) -> Path:
    """Key and certificate of its own, for one address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "smsc")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address(host))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{host}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@asynccontextmanager
async def tls_before(port: int, pem: Path) -> AsyncIterator[int]:
    """A port that takes TLS off, as stunnel does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    pipes: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        for source, target in ((reader, far_writer), (far_reader, writer)):
            pipes.add(loop.create_task(pipe(source, target)))

    async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(4096):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in pipes:
            one.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)


async def test_a_centre_with_a_known_certificate_is_bound(tmp_path: Path) -> None:
    signal = Signal()
    smsc = await Smsc(tmp_path / "smsc", signal).start()
    pem = certificate(tmp_path, "127.0.0.1")
    async with tls_before(smsc.port, pem) as port:
        settings = settings_for(tmp_path, port, smsc={"tls": True, "ca_file": str(pem)})
        harness = SmppHarness(tmp_path)
        harness.smpp = Smpp("texts", settings, harness.router)
        await harness.start()
        assert await harness.send(1, "hello") == "sent"
        assert smsc.got() == ["hello"]
        await harness.stop()
        await smsc.kill()


@pytest.mark.parametrize(("host", "ca"), [("127.0.0.1", False), ("10.0.0.1", True)])
async def test_a_strange_certificate_is_refused_before_the_password_is_said(
    host: str, ca: bool, tmp_path: Path
) -> None:
    smsc = await Smsc(tmp_path / "smsc").start()
    pem = certificate(tmp_path, host)
    async with tls_before(smsc.port, pem) as port:
        more = {"tls": True, "ca_file": str(pem) if ca else ""}
        smpp = Smpp("texts", settings_for(tmp_path, port, smsc=more), RouterDouble(Signal()))
        with pytest.raises(ChannelLost, match="SSLCertVerificationError"):
            await smpp.run()
        assert smsc.seen("bound") == []
        await smsc.kill()


async def test_a_certificate_file_that_is_none_is_said(tmp_path: Path) -> None:
    more = {"tls": True, "ca_file": str(tmp_path / "nowhere")}
    smpp = Smpp("texts", settings_for(tmp_path, 1, smsc=more), RouterDouble(Signal()))
    with pytest.raises(ChannelLost, match="ca_file: No such file"):
        await smpp.run()
