"""What would hold up the first calls is done before them."""

import gc

from agi_sms import config, trigger


def warm(loaded: config.Config) -> None:
    """Load what phone numbers and templates load at their first use, before a call has to wait for it."""
    for name in loaded.nodes:
        trigger.planned(loaded, trigger.sample(loaded, name))
    # What there is now stays: to look through all of it for garbage again and again would hold calls up.
    gc.collect()
    gc.freeze()
