"""Fetches Debian's micropython package, its libraries and their loader into a private folder.

    TARGET/root/          the unpacked packages
    TARGET/micropython    a script that starts root's micropython with root's loader and libraries

apt's own client does the fetching and checks the signatures, but with its state, cache and sources
in a temporary folder: the system is read, never written. The sources are the machine's own ones,
with the suite replaced where the system's own is too old to have a MicroPython that we can use.
"""

from __future__ import annotations

import platform
import re
import shlex
import shutil
import tempfile
from pathlib import Path

import get_micropython

APT = Path("/etc/apt")
# Suites whose micropython is older than 1.22 -> the suite to take it from.
TOO_OLD = {"bullseye": "trixie", "bookworm": "trixie"}
COMPONENTS = {"main", "universe"}

# APT::Update holds hooks that would touch the system.
CONFIG = """\
#clear APT::Update;
Dir::State "{work}/state";
Dir::State::status "{work}/state/status";
Dir::Cache "{work}/cache";
Dir::Log "{work}/log";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{work}/sources";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
"""

WRAPPER = """\
#!/bin/sh
# Written by tools/apt_micropython.py: this MicroPython runs with its own loader and libraries.
root=$(dirname "$(readlink -f "$0")")/root
exec "$root"/{loader} --inhibit-cache --library-path {libraries} "$root"/{binary} "$@"
"""


def fetch(target: Path, architecture: str = "") -> None:
    """Makes `target` as drawn above; OSError with the reason if that is impossible here.

    architecture: Debian's name of another one that this machine runs, such as i386.
    """
    for client in ("apt-get", "dpkg-deb"):
        if not shutil.which(client):
            raise OSError(f"no {client} on this system to fetch it with")
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    suite = TOO_OLD.get(codename, codename)
    stanzas = sources(APT, codename, suite)
    if not stanzas:
        raise OSError(f"no apt source of {codename or 'a named release'} to derive {suite} from")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as folder:
        work = Path(folder)
        (work / "made" / "root").mkdir(parents=True)
        apt = private_apt(work, stanzas, architecture)
        get_micropython.run_client([*apt, "install", "--yes", "--download-only", "micropython"])
        root = work / "made" / "root"
        for package in sorted((work / "cache" / "archives").glob("*.deb")):
            get_micropython.run_client(["dpkg-deb", "-x", str(package), str(root)])
        wrapper = work / "made" / "micropython"
        wrapper.write_text(wrapper_text(root))
        wrapper.chmod(0o755)
        get_micropython.settle(work / "made", target)


def private_apt(work: Path, stanzas: list[str], architecture: str = "") -> list[str]:
    """The apt-get command whose state is all in `work`, its lists of packages fetched."""
    for name in ("state/lists/partial", "cache/archives/partial", "sources", "log"):
        (work / name).mkdir(parents=True)
    (work / "state" / "status").touch()  # nothing is installed: all dependencies are fetched
    (work / "sources" / "suite.sources").write_text("\n\n".join(stanzas) + "\n")
    config = work / "apt.conf"
    text = CONFIG.format(work=work)
    if architecture:
        text += f'APT::Architecture "{architecture}"; APT::Architectures {{ "{architecture}"; }};\n'
    config.write_text(text)
    apt = ["apt-get", "-c", str(config), "-q"]
    get_micropython.run_client([*apt, "update"])
    return apt


def sources(etc: Path, codename: str, suite: str, types: str = "deb") -> list[str]:
    """The deb822 stanzas of `etc` that serve the system's release, turned to `suite`.

    `suite` may be several, and types "deb deb-src" gives the packages' sources, too.
    """
    stanzas = []
    for path in sorted(etc.glob("sources.list.d/*.sources")):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
        stanzas += [fields(stanza) for stanza in re.split(r"\n\s*\n", text) if stanza.strip()]
    for path in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]:
        if path.is_file():
            lines = path.read_text().splitlines()
            stanzas += [found for line in lines if (found := one_line(line))]
    result = []
    for stanza in stanzas:
        serves = (
            "deb" in stanza.get("types", "").split()
            and codename in stanza.get("suites", "").split()
            and COMPONENTS & set(stanza.get("components", "").split())
            and stanza.get("enabled", "yes").lower() not in ("no", "false")
        )
        if serves:
            targets = "Packages Sources" if "deb-src" in types else "Packages"
            stanza |= {"types": types, "suites": suite, "targets": targets}
            text = "\n".join(f"{name}: {value}" for name, value in stanza.items())
            if text not in result:
                result.append(text)
    return result


def fields(stanza: str) -> dict[str, str]:
    """Lower-case field name -> value (continuation lines kept) of a deb822 stanza."""
    found: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace() and name:
            found[name] += "\n" + line
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            found[name] = value.strip()
    return found


def one_line(line: str) -> dict[str, str] | None:
    """The same for a line `deb [signed-by=KEY arch=A] URI SUITE COMPONENT...`."""
    shape = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
    if not shape:
        return None
    options, uri, suite, components = shape.groups()
    found = {"types": "deb", "uris": uri, "suites": suite, "components": components.strip()}
    for option in (options or "").split():
        name, _, value = option.partition("=")
        name = {"arch": "architectures"}.get(name.lower(), name.lower())
        found[name] = value.replace(",", " ") if name == "architectures" else value
    return found


def wrapper_text(root: Path) -> str:
    """The script that starts root's micropython, with paths relative to `root`."""
    binary = root / "usr" / "bin" / "micropython"
    if not binary.is_file():
        raise OSError("the package holds no usr/bin/micropython")
    # The kernel would start the loader that the binary names; ours lies elsewhere.
    named = re.search(rb"/lib[\w/-]*/ld-linux[\w.-]*\.so\.\d", binary.read_bytes()[:8192])
    if not named:
        raise OSError("the package's micropython names no loader")
    loader_name = Path(named.group().decode()).name
    loaders = sorted(path for path in root.rglob(loader_name) if path.is_file())
    if not loaders:
        raise OSError(f"the packages hold no {loader_name}")
    folders = sorted({path.parent for path in root.rglob("lib*.so.*") if path.is_file()})
    libraries = ":".join(f'"$root"/{shlex.quote(str(each.relative_to(root)))}' for each in folders)
    return WRAPPER.format(
        loader=shlex.quote(str(loaders[0].relative_to(root))),
        libraries=libraries,
        binary=shlex.quote(str(binary.relative_to(root))),
    )
