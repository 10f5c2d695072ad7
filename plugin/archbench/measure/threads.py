"""Following work into the threads that it starts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def threads_inside(watching: Callable[[], Any]) -> Iterator[None]:
    """Whatever threads are given to do meanwhile is done inside of a context.

    torch's modes hold for the thread that enters them.
    """
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def inside(work: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            with watching():
                return work(*args, **kwargs)

        return watched

    def start_inside(thread: threading.Thread) -> None:
        thread.run = inside(thread.run)  # type: ignore[method-assign]
        start(thread)

    def submit_inside(pool: Any, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return submit(pool, inside(work), *args, **kwargs)

    threading.Thread.start = start_inside  # type: ignore[method-assign, assignment]
    ThreadPoolExecutor.submit = submit_inside  # type: ignore[method-assign]
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]
