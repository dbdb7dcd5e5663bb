"""Ctrl-C that a library swallowed is remembered."""

import pytest

from flows import stopping


@pytest.fixture(autouse=True)
def _asked_no_more():
    yield
    stopping._STOP_ASKED.clear()


def test_an_interrupt_that_got_lost_comes_again():
    stopping.stop_if_asked()
    with pytest.raises(KeyboardInterrupt):
        stopping.ask_to_stop()
    with pytest.raises(KeyboardInterrupt):
        stopping.stop_if_asked()
