"""Parts of a batch on several threads: which parts, with which BLAS, and what is left behind."""

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from bncourse import functional as F
from bncourse.functional import threads

MUCH = 10 * threads._WORTH_IT


def blas():
    return [c.num_threads for c in ThreadpoolController().select(user_api="blas").lib_controllers]


@pytest.fixture
def two():
    """A BLAS that may use two threads, whatever the machine and its environment say."""
    with threadpool_limits(2, user_api="blas"):
        if max(blas(), default=1) < 2:
            pytest.skip("this BLAS has one thread only")
        yield


@pytest.mark.parametrize("n, parts", [(5, [(0, 2), (2, 5)]), (2, [(0, 1), (1, 2)]), (1, [(0, 1)])])
def test_much_work_is_shared_by_as_many_threads_as_the_blas_may_use(two, n, parts):
    assert [(p.start, p.stop) for p in threads.share(lambda p: p, n, MUCH)] == parts


def test_each_thread_has_a_blas_of_one_thread_and_then_all_is_as_before(two):
    before = blas()
    inside = threads.share(lambda part: (threading.get_ident(), max(blas())), 4, MUCH)
    assert [n for _, n in inside] == [1, 1] and threading.get_ident() not in dict(inside)
    assert blas() == before


def test_little_work_and_an_empty_batch_stay_where_they_are(two):
    here = threading.get_ident()
    assert threads.share(lambda p: (p, threading.get_ident()), 4, 10) == [(slice(0, 4), here)]
    assert threads.share(lambda p: p, 0, MUCH) == [slice(0, 0)]


def test_a_blas_of_one_thread_is_taken_at_its_word():
    with threadpool_limits(1, user_api="blas"):
        assert threads.share(lambda p: p, 4, MUCH) == [slice(0, 4)]


def test_an_error_comes_out_and_leaves_nothing_behind(two):
    before = blas()
    with pytest.raises(ZeroDivisionError):
        threads.share(lambda p: 1 / 0, 4, MUCH)
    assert blas() == before
    assert len(threads.share(lambda p: p, 4, MUCH)) == 2  # and the lock is open again


def test_within_another_share_the_parts_are_the_same_but_in_line(two):
    inner = threads.share(lambda _: threads.share(lambda p: p, 4, MUCH), 2, MUCH)
    assert inner == [[slice(0, 2), slice(2, 4)]] * 2


def test_while_another_thread_has_the_blas_the_parts_are_the_same(two):
    expected = threads.share(lambda p: p, 4, MUCH)
    found = []
    other = threading.Thread(target=lambda: found.append(threads.share(lambda p: p, 4, MUCH)))
    with threads.one_thread():
        other.start()
        other.join(30)
    assert found == [expected] and len(expected) == 2
    assert threads.share(lambda p: p, 4, MUCH) == expected


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_on_two_threads_is_that_on_one(two, rng, monkeypatch, stride):
    x, w = rng.standard_normal((5, 3, 6, 7)), rng.standard_normal((4, 3, 3, 3))

    def both():
        y, cache = F.conv_forward(x, w, None, stride, 1)
        return y, *F.conv_backward(np.cos(y), cache)[:2]

    one = both()
    monkeypatch.setattr(threads, "_WORTH_IT", 1)
    first, second = both(), both()
    for a, b, c in zip(one, first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
        assert np.array_equal(b, c)


def test_one_thread_and_then_all_is_as_before(two):
    before = blas()
    with pytest.raises(ZeroDivisionError), threads.one_thread():
        assert max(blas()) == 1
        with threads.one_thread():
            assert max(blas()) == 1
        assert max(blas()) == 1
        raise ZeroDivisionError
    assert blas() == before
