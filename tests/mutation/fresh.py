"""A pytest plug-in: nothing of ours is remembered from an earlier run in this process, in which nothing was changed.

mutmut tests each fault in a fork of a process that has run the tests already; what a cache holds hides the fault.
"""

import functools
import gc

OURS = "agi_sms."


def pytest_sessionstart() -> None:
    """Forget what functions of ours have returned."""
    for one in gc.get_objects():
        if type(one) is functools._lru_cache_wrapper and str(one.__module__).startswith(OURS):
            one.cache_clear()
