"""What ends again and again is started again ever more rarely."""

from actors.revival import STEADY_S, WAIT_MAX_S, Revival


def test_waits_double_up_to_a_bound_and_begin_anew_after_a_steady_life() -> None:
    now_s = 0.0
    revival = Revival(lambda: now_s)
    waits = []
    for _ in range(10):
        begun_s = now_s
        while not revival.due():
            now_s += 0.25
        waits.append(now_s - begun_s)
    assert waits[:5] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert max(waits) == WAIT_MAX_S
    now_s += STEADY_S + 1
    assert revival.due(), "the first time at once"
