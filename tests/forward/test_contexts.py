"""Docker's contexts, as the docker command keeps them in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mooring.core.errors import UsageError
from mooring.forward import contexts
from mooring.forward.address import Address


def write(where: Path, name: str, host: str | None, **more: Any) -> None:
    folder = where / f"id-of-{name}"
    folder.mkdir(parents=True)
    endpoint = {} if host is None else {"docker": {"Host": host, "SkipTLSVerify": False}}
    described = {"Name": name, "Metadata": {"Description": "x"}, "Endpoints": endpoint, **more}
    (folder / "meta.json").write_text(json.dumps(described))


def test_a_context_that_leads_over_ssh_is_a_host(tmp_path: Path) -> None:
    write(tmp_path, "build", "ssh://deploy@build.example:2222")
    found = contexts.resolve("build", tmp_path)
    assert found == Address("build.example", "deploy", 2222)


def test_an_address_needs_no_context(tmp_path: Path) -> None:
    assert contexts.resolve("ssh://build", tmp_path / "nothing") == Address("build")


@pytest.mark.parametrize("host", ["unix:///var/run/docker.sock", "tcp://10.0.0.1:2376", None])
def test_a_context_that_leads_elsewhere_is_told(tmp_path: Path, host: str | None) -> None:
    write(tmp_path, "other", host)
    write(tmp_path, "build", "ssh://build")
    with pytest.raises(UsageError) as caught:
        contexts.resolve("other", tmp_path)
    assert caught.value.why.endswith("and not over SSH")
    assert "build" in caught.value.remedy


def test_a_context_whose_address_is_wrong_is_told(tmp_path: Path) -> None:
    write(tmp_path, "bad", "ssh://build/some/path")
    with pytest.raises(UsageError, match="the Docker context leads to 'ssh://build/some/path'"):
        contexts.resolve("bad", tmp_path)


def test_an_unknown_name_is_answered_with_what_there_is(tmp_path: Path) -> None:
    write(tmp_path, "build", "ssh://build")
    with pytest.raises(UsageError) as caught:
        contexts.resolve("buidl", tmp_path)
    assert caught.value.remedy == "did you mean the context build?"
    with pytest.raises(UsageError) as caught:
        contexts.resolve("zzz", tmp_path)
    assert caught.value.remedy == "contexts that lead over SSH: build"
    with pytest.raises(UsageError) as caught:
        contexts.resolve("build.example", tmp_path / "nothing")
    assert caught.value.remedy == "an address is such as ssh://build.example"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"Name": 5}', '{"Name": "x", "Endpoints": 1}'])
def test_a_file_that_makes_no_sense_is_passed_over(tmp_path: Path, text: str) -> None:
    write(tmp_path, "build", "ssh://build")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "meta.json").write_text(text)
    assert contexts.contexts(tmp_path) == {"build": "ssh://build"}


def test_they_are_where_docker_config_says(tmp_path: Path) -> None:
    assert contexts.folder({"DOCKER_CONFIG": str(tmp_path)}) == tmp_path / "contexts" / "meta"
    assert contexts.folder({}) == Path.home() / ".docker" / "contexts" / "meta"
