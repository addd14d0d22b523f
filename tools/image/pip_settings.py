"""pip's settings on this machine, as one file that a build may see as a secret.

A build has a file system of its own, so that only settings about the way to packages are taken, and the
certificates of this machine's authorities under a path that holds there.
"""

import configparser
import io
import re
import subprocess
import sys
from pathlib import Path

CA_IN_BUILD = "/run/secrets/ca"

_TAKEN = ("index-url", "extra-index-url", "proxy", "timeout", "trusted-host")
_LINE = re.compile(r"^(global|:env:)\.([a-z-]+)='(.*)'$")


def read_settings() -> dict[str, str]:
    """What `pip config list` says here, files and environment together."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True, timeout=60
    )
    return parse_listing(listing.stdout)


def parse_listing(listing: str) -> dict[str, str]:
    """The global settings in the output of `pip config list`; the environment's count more."""
    found = sorted(
        (match for line in listing.splitlines() if (match := _LINE.match(line))),
        key=lambda match: match[1],
        reverse=True,
    )
    return {match[2]: match[3].replace("\\n", "\n") for match in found}


def render(settings: dict[str, str]) -> str:
    """A pip.conf for a build; the authorities' certificates, where named, are at CA_IN_BUILD there."""
    config = configparser.ConfigParser(interpolation=None)
    config["global"] = {key: value for key, value in settings.items() if key in _TAKEN}
    if "cert" in settings:
        config["global"]["cert"] = CA_IN_BUILD
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def certificates(settings: dict[str, str]) -> Path | None:
    """The file of authorities' certificates that pip is told to trust, None for its own."""
    return Path(settings["cert"]) if "cert" in settings else None
