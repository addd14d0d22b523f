"""Any tree comes back from GNU tar as it was."""

import os
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.engine.archiving import Archiving, assert_sound

names = st.binary(min_size=1, max_size=255).filter(
    lambda name: not set(b"/\0") & set(name) and name not in (b".", b"..")
)
leaves = st.one_of(
    st.binary(max_size=2000),
    st.tuples(st.just("link"), st.binary(min_size=1, max_size=300).filter(lambda target: 0 not in target)),
    st.just("fifo"),
)
trees = st.recursive(
    st.dictionaries(names, leaves, max_size=4),
    lambda inner: st.dictionaries(names, st.one_of(leaves, inner), max_size=4),
    max_leaves=8,
)


def snapshot(root: bytes) -> dict[bytes, tuple[object, ...]]:
    """Everything below a directory that an archive must keep."""
    found: dict[bytes, tuple[object, ...]] = {}
    for folder, directories, files in os.walk(root):
        for name in [b".", *directories, *files]:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            content: object = None
            if stat.S_ISREG(info.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            mtime = info.st_mtime_ns
            found[os.path.relpath(path, root)] = (info.st_mode, info.st_uid, info.st_gid, mtime, content)
    return found


def build(root: bytes, tree: dict[bytes, object], mtime: int) -> None:
    for name, value in tree.items():
        path = root + b"/" + name
        if isinstance(value, dict):
            os.mkdir(path)
            build(path, value, mtime)
        elif isinstance(value, bytes):
            Path(os.fsdecode(path)).write_bytes(value)
        elif isinstance(value, tuple):
            os.symlink(value[1], path)
        else:
            os.mkfifo(path)
        os.utime(path, ns=(0, mtime), follow_symlinks=False)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=trees, mtime=st.integers(min_value=-(10**18), max_value=9 * 10**18))
def test_any_tree_comes_back_from_gnu_tar_as_it_was(tree: dict[bytes, object], mtime: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        archiving = Archiving(Path(root))
        build(os.fsencode(archiving.source), tree, mtime)
        assert_sound(archiving)
        extracted = archiving.extract()
        assert snapshot(os.fsencode(extracted)) == snapshot(os.fsencode(archiving.source))
        compared = subprocess.run(
            ["tar", "--compare", "--warning=no-unknown-keyword", "-zf", archiving.archive, "-C", extracted.parent],
            capture_output=True,
            check=False,
        )
        assert (compared.returncode, compared.stdout) == (0, b"")
        with tarfile.open(archiving.archive) as tar:
            listed = {os.fsencode(member.name).removeprefix(b"runner-0/") for member in tar}
        assert listed == set(archiving.entries())
