"""What every message to a reader must be."""


def assert_one_sentence(message: str) -> None:
    assert "\n" not in message and "[Errno" not in message and len(message) < 700
