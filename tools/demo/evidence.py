"""The last step: an archive is opened and verified by hand, with nothing but sha256sum, tar and jq.

Where jq is missing, its commands are left out; what they would show is checked all the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tools.demo.errors import DemoError
from tools.demo.paths import shown
from tools.demo.shell import NAMESPACE, Shell, Site

__all__ = ["show_archive"]

_WHO: Final = "on the quarantine volume"
_WHY: Final = "reading the archive"
_ENTRIES: Final = 'select(.record == "entry")'


def show_archive(shell: Shell, site: Site, storage: dict[str, Any], contents: Sequence[str]) -> None:
    """Show the archive of a quarantined MetricsStorage and check it against status, manifest and `contents`.

    `contents` are the paths that were in the directory, below the runner's name, directories with a slash.

    Raises:
        DemoError: it does not hold what it should.
    """
    screen, quarantine = shell.screen, storage["status"]["quarantine"]
    namespace, _, name = quarantine["archive"].rpartition("/")
    stem = name.removesuffix(".tar.gz")

    def quietly(script: str) -> str:
        return shell.run(site.inside(f"{site.quarantine_root}/{namespace}", f"a={stem}\n{script}"), _WHY)

    def show(script: str, before: str = "") -> str:
        screen.command(before + script, who=_WHO)
        output = quietly(script)
        screen.output(output)
        return output

    screen.say(
        "On the quarantine volume are the archive, named in the status, and its manifest: for the operator alone."
    )
    files = show(
        'stat -c "%A %U %s %n" $a.*', before=f"cd {shown(Path(site.quarantine_root) / namespace)}\na={stem}\n"
    ).splitlines()
    modes = {line.rpartition(".")[2]: line.partition(" ")[0] for line in files}
    screen.check("archive and manifest are there", modes, {"gz": "-rw-------", "jsonl": "-rw-------"})

    screen.say("First of all: is it the archive that was verified? Its digest is in the status, too.")
    digest = show("sha256sum < $a.tar.gz").split()[0]
    jsonpath = "jsonpath='{.status.quarantine.sha256}{\"\\n\"}'"
    told = shell.show(f"kubectl get mstor {storage['metadata']['name']} -n {NAMESPACE} -o {jsonpath}", _WHY).strip()
    screen.check("the digests are the same", digest, told)

    screen.say("What is in it? The link is in the archive as a link; nobody followed it.")
    show("tar tvzf $a.tar.gz")
    listed = quietly("tar tzf $a.tar.gz").splitlines()
    screen.check("it holds exactly what was in the directory", sorted(listed), sorted(contents))

    screen.say("The manifest has a line for each entry; for links, sockets and devices, too.")
    has_jq = bool(quietly("command -v jq || true").strip())
    if has_jq:
        show(f"jq -c '{_ENTRIES} | [.type, .mode, .uid, .size, .shown]' $a.manifest.jsonl")
    header, *entries, trailer = (json.loads(line) for line in quietly("cat $a.manifest.jsonl").splitlines())
    screen.check("every entry is in the manifest", sorted(map(_path, entries)), sorted(contents))
    screen.check("the manifest says why", header["reason"], quarantine["reason"])
    closed = (trailer["clean"], trailer["archive_sha256"])
    screen.check("the manifest is closed: clean, with the archive's digest", closed, (True, told))

    screen.say(
        "Now extract it into an empty directory and compare every file with its digest in the manifest. Of a real "
        "one, extract a copy as an ordinary user: the content is hostile by assumption."
    )
    show(f"tar xzf $a.tar.gz --no-same-owner --no-same-permissions \\\n  -C {site.opened}")
    if has_jq:
        show(
            f"jq -r '{_ENTRIES} | select(.sha256) | .sha256 + \"  \" + (.path | @base64d)' \\\n"
            f"  $a.manifest.jsonl | (cd {site.opened} && sha256sum --check)"
        )
    sums = quietly(f"cd {site.opened} && find * -type f -exec sha256sum {{}} +").splitlines()
    found = {path: digest for digest, path in (line.split("  ", 1) for line in sums)}
    expected = {_path(entry): entry["sha256"] for entry in entries if "sha256" in entry}
    if not expected:
        raise DemoError(f"{stem}.manifest.jsonl has no digest of any file")
    screen.check(f"all {len(found)} files have the digests of the manifest", found, expected)


def _path(entry: dict[str, Any]) -> str:
    """As tar writes it, directories with a slash."""
    return base64.b64decode(entry["path"]).decode() + ("/" if entry["type"] == "directory" else "")
