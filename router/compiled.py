"""Makes a copy of the router whose core is machine code: the same decisions for half the time.

    python -m router.compiled build/compiled
    cd build/compiled && python -m router serve -c ...

mypyc (part of mypy) turns the modules of `router/core` that decide into C; records stay what they
are, and so does everything outside the core. It is a choice, not a need: the source runs as it is,
and the copy is made anew after each change. The source tree itself never holds a compiled file,
which Python would prefer to the text beside it however old it is.

Needs a C compiler, Python's headers, mypy and setuptools (a checkout's `.venv` has the last two).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("router", "adapters")
LEFT_OUT = ("__init__", "events", "relaxation", "recount", "statistics", "tallies")
"""Names alone; one that mypyc 2.4 stumbles over (a star in a tuple that is asked with `in`); the
measures: they decide nothing, and copy themselves by `__slots__`, which compiled classes lack."""
_RECORD = re.compile(r"^\s*class \w+\((?:Record|Value|Row|Personal|msgspec\.)", re.MULTILINE)
"""Modules that define records are left: msgspec makes those classes, and mypyc cannot."""

_SETUP = """
import sys
from setuptools import setup
from mypyc.build import mypycify

modules = {modules!r}
setup(name="core", ext_modules=mypycify(["--config-file=mypyc.ini", *modules], opt_level="{level}"))
"""
_CONFIG = "[mypy]\nfollow_imports = silent\nignore_missing_imports = True\n"


def modules() -> list[str]:
    """Paths of the modules that are compiled, from the root."""
    return [
        f"router/core/{path.name}"
        for path in sorted((ROOT / "router" / "core").glob("*.py"))
        if path.stem not in LEFT_OUT and not _RECORD.search(path.read_text(encoding="utf-8"))
    ]


def missing() -> str:
    """What it takes and is not here, in words; empty: all is there."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"a C compiler ({compiler})"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "Python's headers (Python.h; on Debian the package python3-dev)"
    for package in ("mypyc", "setuptools"):
        if importlib.util.find_spec(package) is None:
            return f"{package} (pip install {package.replace('mypyc', 'mypy')})"
    return ""


def build(target: Path, chosen: list[str], level: int = 3) -> None:
    """Fill `target`, whatever stood there; `chosen` of `modules` become machine code.

    `level` is the C compiler's -O. Raises subprocess.CalledProcessError with what it said.
    """
    shutil.rmtree(target, ignore_errors=True)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(ROOT / package, target / package, ignore=ignored)
    (target / "setup.py").write_text(_SETUP.format(modules=chosen, level=level))
    (target / "mypyc.ini").write_text(_CONFIG)
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=target,
        env={**os.environ, "PYTHONPATH": "", "MYPY_CACHE_DIR": str(target / "build" / "mypy")},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    shutil.rmtree(target / "build")
    for name in ("setup.py", "mypyc.ini"):
        (target / name).unlink()


def main(words: list[str]) -> None:
    """One word: the directory to fill. Raises SystemExit with what is wrong."""
    if len(words) != 1:
        sys.exit("usage: python -m router.compiled DIRECTORY")
    target = Path(words[0])
    if target.exists() and not (target / "router" / "core").is_dir() and any(target.iterdir()):
        sys.exit(f"not compiled: {target} holds something else; name a new directory")
    if target.resolve() in (ROOT, *ROOT.parents):
        sys.exit(f"not compiled: {target} is the source itself; name a new directory")
    lacking = missing()
    if lacking:
        sys.exit(f"not compiled: this needs {lacking}")
    chosen = modules()
    try:
        build(target, chosen)
    except subprocess.CalledProcessError as error:
        sys.exit(f"not compiled:\n{error.stdout[-4000:]}")
    sys.stdout.write(
        f"{target}: {len(chosen)} modules of the core are machine code. Run it from there:\n"
        f"  cd {target} && {sys.executable} -m router serve\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
