from __future__ import annotations

import errno
import os

from mooring.core.errors import MooringError, UsageError, why_os


def test_an_error_says_what_was_attempted_why_it_failed_and_what_to_do():
    error = MooringError("opening the folder /x", "it is a file", "choose another")
    assert str(error) == "opening the folder /x: it is a file (choose another)"


def test_without_a_remedy_there_are_no_empty_brackets():
    assert str(MooringError("reading", "no such file")) == "reading: no such file"


def test_a_failure_and_a_wrong_usage_have_exit_codes_of_their_own():
    assert (MooringError.exit_code, UsageError.exit_code) == (1, 2)


def test_an_os_error_is_told_in_words_without_its_number_and_path():
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/x")
    assert why_os(error) == "no space left on device"


def test_an_os_error_without_words_is_told_as_it_is():
    assert why_os(OSError("it broke")) == "it broke"
