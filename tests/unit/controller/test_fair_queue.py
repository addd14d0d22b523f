"""A flood in one namespace does not keep the others waiting."""

import asyncio

import pytest

from metrics_storage.controller.fair_queue import FairQueue


def test_a_single_one_is_next_although_a_hundred_wait_in_another_namespace() -> None:
    order: list[str] = []

    async def work(queue: FairQueue, namespace: str) -> None:
        async with queue.slot(namespace):
            order.append(namespace)
            await asyncio.sleep(0)

    async def flood() -> None:
        queue = FairQueue(2)
        tasks = [asyncio.create_task(work(queue, "flood")) for _ in range(100)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(work(queue, "other")))
        await asyncio.gather(*tasks)

    asyncio.run(flood())
    assert len(order) == 101
    assert order.index("other") <= 6


def test_no_more_than_the_limit_work_at_a_time_and_all_places_come_back() -> None:
    async def run() -> int:
        queue, working, most = FairQueue(3), 0, 0

        async def work(number: int) -> None:
            nonlocal working, most
            async with queue.slot(f"n{number % 5}"):
                working += 1
                most = max(most, working)
                await asyncio.sleep(0)
                working -= 1
                if number % 7 == 0:
                    raise ValueError

        for _ in range(3):
            await asyncio.gather(*(work(number) for number in range(50)), return_exceptions=True)
        return most

    assert asyncio.run(run()) == 3


@pytest.mark.parametrize("after", [0, 1, 2])
def test_who_is_cancelled_while_waiting_leaves_no_place_taken(after: int) -> None:
    async def run() -> None:
        queue = FairQueue(1)
        async with queue.slot("a"):
            waiting = asyncio.create_task(queue._enter("b"))
            for _ in range(after):
                await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(1), queue.slot("c"):
            pass

    asyncio.run(run())
