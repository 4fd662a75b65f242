"""What `make mutation` is told to change, and the tests that are to notice, are where it looks for them."""

from tests.mutation import __main__ as mutation


def test_every_file_and_its_tests_are_there() -> None:
    named = {name for file, tests in mutation.FILES.items() for name in (file, *tests)}
    assert sorted(name for name in named if not (mutation.ROOT / name).is_file()) == []


def test_each_file_has_its_tests_once_and_in_order() -> None:
    assert list(mutation.FILES) == sorted(mutation.FILES)
    assert all(tests and len(set(tests)) == len(tests) for tests in mutation.FILES.values())
