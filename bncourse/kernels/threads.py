"""The few threads among which a kernel shares its channels or rows."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import cache

from threadpoolctl import ThreadpoolController

WORTH_IT = 2**18  # values for each thread: some 100 microseconds, thrice what handing over takes

chosen = ContextVar("threads", default=None)


def count(size):
    """How many threads ``size`` values are worth, of those that may be used."""
    worth = size // WORTH_IT
    return 1 if worth < 2 else min(worth, chosen.get() or limit())


def limit():
    """The threads that the BLAS may use now, by its own settings: they are meant for us as well."""
    return max((library.num_threads for library in blas().lib_controllers), default=1)


def share(f, parts):
    """``f(*part)`` for all ``parts`` at the same time, the last one on this thread."""
    *others, mine = parts
    futures = [_pool().submit(f, *part) for part in others]
    try:
        f(*mine)
    finally:
        for future in futures:
            future.result()


def cuts(n, parts, unit=1):
    """``(start, stop)`` of about equal parts of ``n``, whose bounds are multiples of ``unit``."""
    units = -(-n // unit)
    parts = max(1, min(parts, units))
    bounds = [min(n, units * i // parts * unit) for i in range(parts + 1)]
    return list(zip(bounds[:-1], bounds[1:], strict=True))


@cache
def blas():
    """The libraries of matrix products in this process, to ask and to set their threads."""
    return ThreadpoolController().select(user_api="blas")


@cache
def _pool():
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "bncourse")


if hasattr(os, "register_at_fork"):  # the threads of a pool do not live on in a child
    os.register_at_fork(after_in_child=_pool.cache_clear)
