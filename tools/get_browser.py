"""What tests need to look at web pages: playwright-core and axe-core, by npm, into .tools/browser.

    python tools/get_browser.py        prints what is missing, if anything; status 1 then

The browser itself is the system's: Debian's package chromium, for example.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".tools" / "browser"
PACKAGES = ("playwright-core@1", "axe-core@4")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser() -> str:
    """The browser's path, or ""."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), "")


def missing() -> str:
    """Why pages cannot be looked at here, or ""."""
    if not browser():
        return "no Chromium (Debian: apt install chromium)"
    if not shutil.which("node"):
        return "no node (Debian: apt install nodejs npm)"
    for package in PACKAGES:
        if not (FOLDER / "node_modules" / package.split("@")[0]).is_dir():
            return "no playwright-core and axe-core: run python tools/get_browser.py"
    return ""


def main() -> int:
    if missing().startswith("no playwright") and shutil.which("npm"):
        FOLDER.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [shutil.which("npm") or "npm", "install", "--prefix", str(FOLDER), "--no-audit",
             "--no-fund", "--no-save", "--ignore-scripts", *PACKAGES],
            check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    if missing():
        print("browser: " + missing())
    return 1 if missing() else 0


if __name__ == "__main__":
    sys.exit(main())
