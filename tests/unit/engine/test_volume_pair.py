"""A volume is never taken for a new one because it is empty, while its partner knows an older one."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.engine.volume.volume_pair import open_pair
from metrics_storage.errors import VolumeError


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """Two empty directories."""
    for name in ("storage", "quarantine"):
        (tmp_path / name).mkdir()
    return tmp_path / "storage", tmp_path / "quarantine"


def ids(roots: tuple[Path, Path], *, new: bool = True) -> tuple[str, str]:
    """The ids of both volumes, opened and closed again."""
    with ExitStack() as stack:
        storage, quarantine = open_pair(stack, *roots, new=new)
        assert (storage.partner, quarantine.partner) == (quarantine.id, storage.id)
        return storage.id, quarantine.id


def test_two_empty_directories_become_a_pair_that_stays(roots: tuple[Path, Path]) -> None:
    first = ids(roots)
    assert ids(roots, new=False) == first


def test_two_empty_directories_stay_empty_where_the_cluster_knows_older_ones(roots: tuple[Path, Path]) -> None:
    with pytest.raises(VolumeError, match=r"is it mounted\?"):
        ids(roots, new=False)
    assert not any(list(root.iterdir()) for root in roots)


@pytest.mark.parametrize("missing", [0, 1], ids=["storage", "quarantine"])
def test_one_that_is_not_mounted_is_noticed_although_nothing_else_knows_it(
    roots: tuple[Path, Path], missing: int
) -> None:
    before = ids(roots)
    aside = roots[missing].with_name("aside")
    roots[missing].rename(aside)
    roots[missing].mkdir()
    with pytest.raises(VolumeError, match=rf"knows it as {before[missing]}: is it mounted\?.*init-volume"):
        ids(roots)
    assert not list(roots[missing].iterdir())
    roots[missing].rmdir()
    aside.rename(roots[missing])
    assert ids(roots) == before


def test_one_that_a_person_initialised_replaces_the_lost_one(roots: tuple[Path, Path]) -> None:
    before = ids(roots)
    roots[1].rename(roots[1].with_name("lost"))
    roots[1].mkdir()
    Volume(roots[1], Role.QUARANTINE, initialise=True).close()
    after = ids(roots, new=False)
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_volumes_of_two_installations_are_not_mixed(roots: tuple[Path, Path], tmp_path: Path) -> None:
    ids(roots)
    others = (tmp_path / "storage-2", tmp_path / "quarantine-2")
    for root in others:
        root.mkdir()
    ids(others)
    with pytest.raises(VolumeError, match="mount those that belong together"):
        ids((roots[0], others[1]))
