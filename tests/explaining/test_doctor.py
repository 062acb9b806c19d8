"""`torchplug doctor` says what there is, warns of what is slow, and fails for what cannot work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from torchplug.cli import main
from torchplug.explaining.diagnosis import Diagnosis, diagnose
from torchplug_spec import probe, registry
from torchplug_spec.status import BackendStatus


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are taken as listed: their trial in processes of their own has tests of its own."""
    monkeypatch.setattr(probe, "check", lambda rows, timeout: tuple(rows))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    for name, version in versions.items():
        place = folder / f"{name}-{version}.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(folder))


def test_the_facts_name_versions_engines_threads_blas_and_caches() -> None:
    found = diagnose(environment={"TORCHPLUG_PLUGINS": "x"})
    assert isinstance(found, Diagnosis)
    assert {"python", "platform", "numpy", "torchplug"} <= set(found.facts["versions"])
    assert found.facts["engines"]["numpy"]["default"] and "strict" in found.facts["engines"]
    assert found.facts["threads"]["usable"] >= 1 and found.facts["blas"]["name"]
    assert set(found.facts["caches"]) == {"jax", "cupy", "cuda"}
    assert found.facts["environment"] == {"TORCHPLUG_PLUGINS": "x"}
    assert all(title in str(found) for title in (*found.facts, "problems", "warnings"))


def test_variables_that_slow_openblas_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchplug.explaining.diagnosis._blas", lambda: {"name": "scipy-openblas", "version": "0.3"})
    assert diagnose(environment={}).warnings == []
    first, second = diagnose(environment={"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "512"}).warnings
    assert first.startswith("OPENBLAS_CORETYPE=Haswell is set") and "unset it" in first
    assert second.startswith("OPENBLAS_L2_SIZE=512 is set") and "unset it" in second


def test_another_blas_does_not_mind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchplug.explaining.diagnosis._blas", lambda: {"name": "mkl", "version": "2024"})
    assert diagnose(environment={"OPENBLAS_CORETYPE": "Haswell"}).warnings == []


def test_more_threads_than_processors_are_warned_of() -> None:
    (said,) = diagnose(environment={"OMP_NUM_THREADS": "4096"}).warnings
    assert said.startswith("OMP_NUM_THREADS=4096 asks for more threads than the")


def test_two_wheels_of_cupy_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, cupy_cuda12x="13.6.0", cupy_cuda13x="14.0.0")
    found = diagnose(environment={})
    assert not found.ok
    assert "cupy-cuda12x 13.6.0 and cupy-cuda13x 14.0.0 are installed side by side" in found.problems[0]


def test_one_wheel_of_cupy_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, cupy_cuda12x="13.6.0")
    found = diagnose(environment={})
    assert found.facts["versions"]["cupy-cuda12x"] == "13.6.0"
    assert not any("side by side" in said for said in found.problems)


def test_a_jaxlib_newer_than_jax_and_a_plugin_of_another_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, jax="0.7.0", jaxlib="0.8.1", jax_cuda12_plugin="0.7.0")
    monkeypatch.setattr("importlib.metadata.distributions", lambda: iter(_those_in(tmp_path)))
    problems = diagnose(environment={}).problems
    assert any("jaxlib 0.8.1 is newer than jax 0.7.0" in said for said in problems)
    assert any("jax-cuda12-plugin 0.7.0 does not belong to jaxlib 0.8.1" in said for said in problems)


def _those_in(folder: Path) -> list[object]:
    from importlib.metadata import PathDistribution

    return [PathDistribution(place) for place in folder.iterdir()]


def test_a_default_backend_that_cannot_be_used_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = BackendStatus("numpy", "unavailable", "torchplug", "1", reason="it is broken", remedy="mend it")
    monkeypatch.setattr(registry, "listing", lambda: (broken,))
    assert diagnose(environment={}).problems == ["the default backend 'numpy' cannot be used: it is broken; mend it"]


def test_a_default_backend_that_nobody_installed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHPLUG_BACKEND", "nonsense")
    assert any("the default backend 'nonsense'" in said for said in diagnose(environment={}).problems)


def test_a_plugin_beside_the_default_backend_that_nobody_installed_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHPLUG_BACKEND", "numpy+nowhere")
    assert [problem for problem in diagnose().problems if "nowhere" in problem] == [
        "the plugin 'nowhere' (TORCHPLUG_BACKEND) is not installed; `torchplug backends` lists what is"
    ]


def test_a_broken_plugin_is_a_problem_and_a_missing_library_of_ours_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        BackendStatus("numpy", "available", "torchplug", "1"),
        BackendStatus("cupy", "unavailable", "torchplug", "1", reason="no GPU"),
        BackendStatus("mine", "unavailable", "mine-engine", "1", reason="it crashed"),
    )
    monkeypatch.setattr(registry, "listing", lambda: rows)
    assert diagnose(environment={}).problems == ["the plugin 'mine' cannot be used: it crashed"]


def test_a_cache_that_others_may_write_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(b"123")
    tmp_path.chmod(0o777)
    found = diagnose(environment={"JAX_COMPILATION_CACHE_DIR": str(tmp_path)})
    assert found.facts["caches"]["jax"]["bytes"] == 3
    assert found.warnings == [
        f"the cache of jax in {tmp_path} can be written by others, who could plant code: chmod go-w it"
    ]
    tmp_path.chmod(0o700)
    assert diagnose(environment={"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}).warnings == []


def test_the_command_prints_text_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.startswith("versions\n  python ")
    assert main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True and answer["problems"] == [] and "numpy" in answer["engines"]


def test_a_problem_makes_the_command_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, monkeypatch, cupy_cuda12x="13.6.0", cupy_cuda13x="14.0.0")
    assert main(["doctor"]) == 1
    assert "side by side" in capsys.readouterr().out


def test_a_wrong_timeout_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--timeout", "-1"])
    assert stop.value.code == 2
    assert "argument --timeout: got '-1', expected a number of seconds above 0" in capsys.readouterr().err
