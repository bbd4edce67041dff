"""The pages: desk, wallboard, widget, start page; files of `router/web`, with strict headers.

Only files that are there at start are served, by their exact name: no path is ever joined.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

WEB = Path(__file__).parent.parent / "web"
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".mp3": "audio/mpeg",
}
NAMES = {
    "/": "index.html",
    "/desk": "desk.html",
    "/wallboard": "wallboard.html",
    "/favicon.ico": "icon.svg",  # browsers ask for it, whatever a page says
}
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), payment=()",
    "Cache-Control": "no-cache",
}


def mount(app: web.Application) -> None:
    """Add a path for each file."""
    files = {
        "/" + path.relative_to(WEB).as_posix(): path
        for path in sorted(WEB.rglob("*"))
        if path.is_file() and path.suffix in TYPES
    }
    for place, name in NAMES.items():
        if "/" + name in files:
            files[place] = files["/" + name]
    for place, path in files.items():
        app.router.add_get(place, _file(place, path))


def _file(place: str, path: Path):  # type: ignore[no-untyped-def]  # aiohttp's handler
    headers = dict(HEADERS)
    if place.startswith("/widget") and place.endswith(".js"):  # put into other sites' pages
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        headers["Cache-Control"] = "public, max-age=300"
    if place.startswith("/widget_"):  # modules, loaded by those pages: browsers ask (CORS)
        headers["Access-Control-Allow-Origin"] = "*"
    kind = TYPES[path.suffix]
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    headers["Content-Type"] = kind

    async def serve(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers=headers)

    return serve
