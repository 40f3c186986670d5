"""The cache folder, and tensors on disk."""

import pytest
import torch
from safetensors import SafetensorError

from bert_tutorial.cache import cache_dir, read_safetensors, write_safetensors


def test_the_cache_folder_is_the_named_one_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", "")
    assert cache_dir().is_absolute() and "bert_tutorial" in cache_dir().parts
    monkeypatch.delenv("BERT_TUTORIAL_CACHE")
    assert cache_dir().is_absolute() and "bert_tutorial" in cache_dir().parts
    assert not (tmp_path / "cache").exists()


def test_tensors_and_what_is_known_about_them_come_back(tmp_path):
    path = tmp_path / "folder" / "file.safetensors"
    tensors = {"a": torch.arange(3), "b": torch.rand(2, 2)}
    about = {"words": ["é", "b"], "step": 3, "settings": {"x": None}}
    write_safetensors(path, tensors, about)
    found, known = read_safetensors(path)
    assert known == about and found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) for name, value in tensors.items())
    write_safetensors(path, {"a": torch.zeros(3)}, {})  # what was read does not hang on the file
    assert torch.equal(found["a"], torch.arange(3))
    assert list(path.parent.iterdir()) == [path]


def test_another_kind_of_file(tmp_path):
    (tmp_path / "file").write_text("something else")
    with pytest.raises(SafetensorError):
        read_safetensors(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        read_safetensors(tmp_path / "none")
