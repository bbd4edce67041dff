"""What each line needs on this machine, and the words when it is not there."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable

from loadtest import pbx_server
from loadtest.server import ROOT

CENTRE = ROOT / "tests" / "peers" / "smsc"
"""The SMS centre, on npm `smpp`: it shares no code with the adapter."""
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def dovecot() -> str:
    """Where Dovecot is; empty: nowhere."""
    return shutil.which("dovecot", path=PATH) or ""


def _no_smpp() -> str:
    if shutil.which("node") is None:
        return "no Node.js for the SMS centre: apt-get install nodejs npm, then sh .ci/servers"
    if not (CENTRE / "node_modules" / "smpp").is_dir():
        return f"the SMS centre lacks npm's `smpp`: npm install --prefix {CENTRE.relative_to(ROOT)}"
    return ""


def _no_mail() -> str:
    if not dovecot():
        return "no Dovecot: apt-get install dovecot-imapd dovecot-lmtpd"
    if importlib.util.find_spec("aiosmtpd") is None:
        return "no sending server: pip install aiosmtpd"
    if importlib.util.find_spec("imap_tools") is None:
        return "the mail adapter lacks its libraries: pip install 'contact-router[mail]'"
    return ""


def _no_sip() -> str:
    if not pbx_server.SETTINGS.is_dir():
        return f"the PBX's configuration is not there: {pbx_server.SETTINGS}"
    return pbx_server.missing()


_LACKS: dict[str, Callable[[], str]] = {"smpp": _no_smpp, "mail": _no_mail, "sip": _no_sip}


def missing(over: str) -> str:
    """Why nobody can come over this here, and the command that changes it; empty: they can."""
    return _LACKS[over]()
