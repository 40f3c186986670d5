"""For tests and for notebooks run by nbval; it stands here, because pytest sees tests/conftest.py only from tests/."""


def pytest_itemcollected(item):
    if hasattr(
        item, "output_timeout"
    ):  # a notebook cell: nbval waits only 5 s for each output, too short on a busy machine
        item.output_timeout = 60
