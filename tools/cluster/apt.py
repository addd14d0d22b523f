"""A private apt: the system's own sources under another configuration, in a folder of its own.

Adds source packages or another suite to what the system already trusts, without changing the system's lists.
No address is known here: every one comes from the system's source lists at run time. Not responsible for what
is done with the packages.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.cluster.errors import ClusterError
from tools.cluster.progress import StepLog

__all__ = ["PrivateApt", "Source", "debian_sources", "package_names", "parse_sources", "render", "system_mirror"]

_ETC = Path("/etc/apt")


@dataclass(frozen=True)
class Source:
    """Where packages come from; `options` are deb822 fields such as Signed-By."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = field(default=())


def parse_sources(text: str, *, deb822: bool) -> list[Source]:
    """The enabled binary sources of one file, in either of apt's two formats (sources.list(5))."""
    return list(_parse_stanzas(text) if deb822 else _parse_lines(text))


def debian_sources(sources: Iterable[Source], codename: str) -> list[Source]:
    """Those of the distribution itself, with its updates: other repositories need not have what is wanted."""
    wanted = (codename, f"{codename}-updates", f"{codename}-security")
    kept = []
    for source in sources:
        suites = tuple(suite for suite in source.suites if suite in wanted)
        if suites and "main" in source.components:
            kept.append(replace(source, suites=suites, components=("main",)))
    return kept


def render(sources: Iterable[Source], *, types: str = "deb", suite: str | None = None) -> str:
    """A deb822 file. `suite` takes the place of all suites; archives of updates alone are then left out."""
    stanzas = []
    for source in sources:
        suites = source.suites
        if suite is not None:
            if not any("-" not in name for name in source.suites):
                continue
            suites = (suite,)
        fields = [("Types", types), ("URIs", " ".join(source.uris)), ("Suites", " ".join(suites))]
        fields += [("Components", " ".join(source.components)), *source.options]
        stanzas.append("".join(f"{key}: {value}\n" for key, value in fields))
    return "\n".join(stanzas)


def package_names(print_uris: str) -> list[str]:
    """The package names in the output of `apt-get --print-uris`, in its order.

    Its lines are 'URI' name_version_architecture.deb size hash.
    """
    return [match[1] for match in re.finditer(r"^'[^']*' ([^_\s]+)_\S+\.deb \d+", print_uris, re.MULTILINE)]


def system_mirror() -> tuple[str, str]:
    """Where this Debian's packages come from, and its code name; raises ClusterError where this is no Debian."""
    codename = _codename()
    found = [source for source in debian_sources(_system_sources(), codename) if codename in source.suites]
    if not found:
        raise ClusterError(f"{_ETC} has no source for Debian {codename} main")
    return found[0].uris[0], codename


class PrivateApt:
    """apt-get with lists and downloads below `root`, and a sources file given as text.

    `installed` tells whether dependencies count as satisfied by what the system has installed.
    """

    def __init__(self, root: Path, sources: str, progress: StepLog, log: Path, *, installed: bool) -> None:
        self._progress = progress
        self._log = log
        root.mkdir(parents=True)
        for folder in ("lists/partial", "cache/archives/partial", "parts"):
            (root / folder).mkdir(parents=True)
        (root / "sources.sources").write_text(sources)
        settings = {
            "Dir::Etc::SourceList": str(root / "sources.sources"),
            "Dir::Etc::SourceParts": str(root / "parts"),
            "Dir::State::Lists": str(root / "lists"),
            "Dir::Cache": str(root / "cache"),
            # The folder is the caller's own; the unprivileged user of apt could not write there.
            "APT::Sandbox::User": "",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            # Another tier of tests may be installing something.
            "DPkg::Lock::Timeout": "300",
        }
        if not installed:
            (root / "status").touch()
            settings["Dir::State::Status"] = str(root / "status")
        self._options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]

    @classmethod
    def from_system(
        cls, root: Path, progress: StepLog, log: Path, *, types: str = "deb", suite: str | None = None
    ) -> PrivateApt:
        """The system's Debian sources, with other types (e.g. "deb deb-src") or another suite.

        With another suite nothing counts as installed. Raises ClusterError where there are no such sources.
        """
        sources = debian_sources(_system_sources(), _codename())
        if not sources:
            raise ClusterError(
                f"{_ETC} has no source for Debian {_codename()} main: the local cluster is built "
                "from Debian's packages; set KUBEBUILDER_ASSETS to a directory with its programs, or use --cluster=kind"
            )
        return cls(root, render(sources, types=types, suite=suite), progress, log, installed=suite is None)

    def update(self) -> None:
        self._run("update", "-q", "--error-on=any")

    def source(self, package: str, directory: Path) -> Path:
        """Download and unpack a source package; returns the folder of its tree."""
        directory.mkdir()
        self._run("source", "-q", package, cwd=directory)
        trees = [path for path in directory.iterdir() if path.is_dir()]
        if len(trees) != 1:
            raise ClusterError(f"source package {package}: expected one folder in {directory}, found {len(trees)}")
        return trees[0]

    def unpack(self, packages: Sequence[str], downloads: Path, target: Path) -> None:
        """Download packages and unpack them into `target`, without installing anything."""
        downloads.mkdir()
        self._run("download", "-q", *packages, cwd=downloads)
        archives = sorted(downloads.glob("*.deb"))
        self._progress.say(f"  unpacking {len(archives)} packages")
        for archive in archives:
            self._progress.run(["dpkg", "-x", str(archive), str(target)], log=self._log)

    def closure(self, package: str) -> list[str]:
        """The package and all that it depends on, as apt resolves it now."""
        argv = ["apt-get", *self._options, "install", "-y", "-qq", "--print-uris", package]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise ClusterError(f"apt cannot resolve {package}: {(done.stderr or done.stdout).strip()[-1500:]}")
        return package_names(done.stdout)

    def install(self, packages: Sequence[str]) -> None:
        """Install what is missing of these on the system; raises ClusterError where that takes root."""
        missing = [package for package in packages if not _installed(package)]
        if not missing:
            return
        if os.geteuid() != 0:
            raise ClusterError(
                f"the build needs the Debian packages {', '.join(missing)}, and only root can install them: "
                f"sudo apt-get install {' '.join(missing)}"
            )
        self._progress.say(f"  installing {', '.join(missing)} on this system with apt-get")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        self._run("install", "-y", "-q", *missing, env=environment)

    def _run(self, *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
        self._progress.run(["apt-get", *self._options, *arguments], log=self._log, cwd=cwd, env=env)


def _parse_stanzas(text: str) -> Iterable[Source]:
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += "\n" + line
            elif ":" in line:
                name, value = line.split(":", 1)
                key = name.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in (
            "no",
            "false",
        ):
            continue
        yield Source(
            uris=tuple(fields.get("uris", "").split()),
            suites=tuple(fields.get("suites", "").split()),
            components=tuple(fields.get("components", "").split()),
            options=(("Signed-By", fields["signed-by"]),) if "signed-by" in fields else (),
        )


def _parse_lines(text: str) -> Iterable[Source]:
    for line in text.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match is None:
            continue
        signed = re.search(r"signed-by=(\S+)", match[1] or "", re.IGNORECASE)
        yield Source(
            uris=(match[2],),
            suites=(match[3],),
            components=tuple(match[4].split()),
            options=(("Signed-By", signed[1]),) if signed else (),
        )


def _system_sources() -> list[Source]:
    parts = _ETC / "sources.list.d"
    files = [_ETC / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    return [
        source
        for file in files
        if file.is_file()
        for source in parse_sources(file.read_text(), deb822=file.suffix == ".sources")
    ]


def _codename() -> str:
    text = Path("/etc/os-release").read_text() if Path("/etc/os-release").is_file() else ""
    match = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', text, re.MULTILINE)
    debian = re.search(r'^ID="?debian"?$', text, re.MULTILINE)
    if match is None or debian is None:
        raise ClusterError(
            "the local cluster can be built on Debian only, from its packages: set KUBEBUILDER_ASSETS to a "
            "directory with etcd, kube-apiserver and kube-controller-manager, or use --cluster=kind"
        )
    return match[1]


def _installed(package: str) -> bool:
    argv = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout == "installed"
