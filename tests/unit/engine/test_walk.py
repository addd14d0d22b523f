"""Walking hostile trees, and measuring them."""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from metrics_storage.engine.fs import walk as module
from metrics_storage.engine.fs.remove import remove_tree
from metrics_storage.engine.fs.usage import measure
from metrics_storage.engine.fs.walk import Step, printable, walk
from metrics_storage.model.usage import Usage
from tests.unit.engine.archiving import deep_directories, open_count

SYS_GETDENTS64 = {"x86_64": 217, "aarch64": 61}


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_walk_is_sorted_as_bytes_and_encloses_directories(tmp_path: Path, root_fd: int) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "inner").touch()
    (tmp_path / "a").symlink_to("/etc")
    os.mkfifo(tmp_path / "c")
    (tmp_path / "B").touch()
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    steps = [(visit.step.name, visit.path, visit.depth) for visit in walk(root_fd)]
    assert steps == [
        ("ENTER", b".", 0),
        ("ENTRY", b"B", 1),
        ("ENTRY", b"a", 1),
        ("ENTER", b"b", 1),
        ("ENTRY", b"b/inner", 2),
        ("LEAVE", b"b", 1),
        ("ENTRY", b"c", 1),
        ("ENTRY", b"\xff", 1),
        ("LEAVE", b".", 0),
    ]


def test_a_directory_that_was_partly_listed_before_is_walked_whole(tmp_path: Path, root_fd: int) -> None:
    for number in range(3000):
        (tmp_path / f"{number:0200}").touch()
    listing = os.dup(root_fd)
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(32768)
    assert libc.syscall(SYS_GETDENTS64[os.uname().machine], listing, buffer, len(buffer)) > 0
    os.close(listing)
    assert sum(visit.step is Step.ENTRY for visit in walk(root_fd)) == 3000


def test_thousands_of_levels_need_few_descriptors(tmp_path: Path, root_fd: int) -> None:
    with deep_directories(tmp_path, 3_000):
        before, most, deepest = open_count(), 0, 0
        for visit in walk(root_fd):
            deepest = max(deepest, visit.depth)
            assert visit.problem is None
            if visit.depth % 1000 == 0:
                most = max(most, open_count())
        assert deepest == 3_001
        assert most - before <= 34
        assert open_count() == before


def test_closing_a_walk_in_the_middle_frees_its_descriptors(tmp_path: Path, root_fd: int) -> None:
    with deep_directories(tmp_path, 50):
        before = open_count()
        with closing(walk(root_fd)) as visits:
            for visit in visits:
                if visit.depth == 45:
                    break
            assert open_count() > before
        assert open_count() == before


def test_what_vanishes_or_becomes_a_link_is_told_and_not_followed(tmp_path: Path, root_fd: int) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    problems = {}
    for visit in walk(root_fd):
        if visit.step is Step.ENTER and visit.name == b"a":
            (tmp_path / "b").rmdir()
            (tmp_path / "c").rmdir()
            (tmp_path / "c").symlink_to("/etc")
        problems[visit.name] = (visit.problem, visit.stat and stat.S_ISLNK(visit.stat.st_mode))
    assert problems[b"b"] == (errno.ENOENT, None)
    assert problems[b"c"] == (None, True)


def test_a_directory_moved_away_makes_the_ancestors_unreachable_not_wrong(tmp_path: Path, root_fd: int) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    (elsewhere / "z").mkdir(parents=True)
    seen = {}
    with deep_directories(tmp_path, 60):
        (tmp_path / "d" / "d" / "z").touch()
        (tmp_path / "z").touch()
        for visit in walk(root_fd):
            if visit.step is Step.ENTER and visit.depth == 50:
                (tmp_path / "d/d/d").rename(elsewhere / "d")
            if visit.step is not Step.ENTER:
                seen[visit.path] = (visit.problem, visit.parent_fd)
    assert seen[b"d/d/z"] == (errno.ESTALE, -1)
    assert seen[b"z"] == (None, root_fd)


def test_another_mount_is_told_and_not_entered() -> None:
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    with closing(walk(fd)) as visits:
        proc = next(visit for visit in visits if visit.name == b"proc" and visit.depth == 1)
    os.close(fd)
    assert (proc.step, proc.problem) == (Step.ENTRY, errno.EXDEV)


def test_usage_counts_blocks_and_shared_files_once(tmp_path: Path, root_fd: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    for number in range(2):
        os.link(tmp_path / "file", tmp_path / f"link{number}")
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 40)
    blocks = sum((tmp_path / name).stat().st_blocks for name in (".", "file", "holes"))
    assert measure(root_fd) == Usage(bytes=blocks * 512, files=4)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        pytest.param(b"a b'c", "a b'c", id="ordinary"),
        pytest.param(b"\x1b[31m\n\\\xff", "\\x1b[31m\\n\\\\\\xff", id="terminal"),
        pytest.param(b"x" * 300, "x" * 60 + "..." + "x" * 60, id="long"),
    ],
)
def test_names_are_escaped_and_shortened_for_people(path: bytes, shown: str) -> None:
    assert printable(path) == shown


def test_names_that_do_not_fit_into_memory_come_in_passes_and_in_the_same_order(
    tmp_path: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path, tmp_path / "b", tmp_path / "b" / "b", tmp_path / "d"):
        path.mkdir(exist_ok=True)
        for name in "acegikmoqsuwy":
            (path / name).touch()
    whole = [(visit.step, visit.path) for visit in walk(root_fd)]
    assert len(whole) == 4 * 2 + 4 * 13
    for names in (1, 2, 5, 13, 20):
        monkeypatch.setattr(module, "_MAX_NAMES", names)
        assert [(visit.step, visit.path) for visit in walk(root_fd)] == whole


def test_what_does_not_fit_into_memory_is_removed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_NAMES", 2)
    condemned = tmp_path / "condemned"
    for path in (condemned, condemned / "b", condemned / "d"):
        path.mkdir()
        for name in "aceg":
            (path / name).touch()
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    remove_tree(fd, b"condemned", inode=condemned.stat().st_ino)
    os.close(fd)
    assert not condemned.exists()


def test_a_directory_that_is_lost_with_names_to_come_ends_the_walk(
    tmp_path: Path, root_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_NAMES", 2)
    monkeypatch.setattr(module, "_MAX_OPEN", 1)
    inner = tmp_path / "a" / "a" / "a"
    inner.mkdir(parents=True)
    for name in "bcdef":
        (tmp_path / "a" / name).touch()
    with closing(walk(root_fd)) as visits:
        next(visit for visit in visits if visit.step is Step.ENTER and visit.path == b"a/a/a")
        (tmp_path / "a" / "a").rename(tmp_path / "away")
        with pytest.raises(OSError, match="not known whole"):
            list(visits)
