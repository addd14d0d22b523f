"""Epochs only grow, on a volume and in every process that works on it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metrics_storage.engine.volume.epochs import Epochs
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import StaleEpochError


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    with Volume(tmp_path, Role.QUARANTINE, initialise=True) as volume:
        yield volume


def known(volume: Volume) -> list[int]:
    return sorted(int(path.name) for path in (volume.path / ".metrics-storage" / "epochs").iterdir())


def test_every_controller_takes_a_higher_one(volume: Volume) -> None:
    assert [Epochs(volume).take() for _ in range(3)] == [1, 2, 3]
    assert known(volume) == [1, 2, 3]


def test_no_two_controllers_take_the_same(volume: Volume) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: Epochs(volume).take(), range(64)))
    assert sorted(taken) == known(volume) == list(range(1, 65))


def test_an_earlier_one_is_refused_by_every_process_from_then_on(volume: Volume) -> None:
    epochs = Epochs(volume)
    for epoch in (3, 3, 7):
        epochs.accept(epoch)
    for later in (epochs, Epochs(volume)):
        with pytest.raises(StaleEpochError, match=r"epoch 3 is over, .* has seen 7"):
            later.accept(3)
    assert known(volume) == [3, 7]


def test_calls_of_two_controllers_at_once_never_bring_the_earlier_one_back(volume: Volume) -> None:
    epochs = Epochs(volume)

    def accept(epoch: int) -> int:
        try:
            epochs.accept(epoch)
        except StaleEpochError:
            return 0
        return epoch

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(accept, [1, 2, 3, 4] * 16))
    assert [accept(epoch) for epoch in (1, 2, 3, 4)] == [0, 0, 0, 4]


def test_what_is_no_number_of_ours_is_left_alone(volume: Volume) -> None:
    Epochs(volume).accept(1)
    note = volume.path / ".metrics-storage" / "epochs" / "note"
    note.write_text("x")
    Epochs(volume).accept(2)
    assert note.exists()
