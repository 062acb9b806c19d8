"""Every check of the project as a nox session: `nox` runs them all, each in an environment of its own.

`.ci/run` runs the same sessions with `--no-venv` in one environment that it has filled itself.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True

# The engines that need no GPU; `scripts/gpu_check` covers the others.
ENGINES = ("numpy", "jax", "strict")
REFERENCE = "torch==2.13.0"
# Plugins over libraries that may have no wheel for a machine: what installs the library, and the module to import.
PLUGINS = {
    "array-api-strict": ("array-api-strict", "array_api_strict"),
    "mlx": ("mlx[cpu]", "mlx.core"),
    "numba": ("numba", "numba"),
}
DOCUMENTED = (
    "frontend",
    "backends/torchplug_numpy",
    "backends/torchplug_jax",
    "backends/torchplug_strict",
    "plugins/torchplug_spec",
    "plugins/torchplug_conformance",
)


def install(session: nox.Session, extras: str, *others: str) -> None:
    """Installs the project with these extras, unless the session runs in an environment that is not nox's own."""
    if session.virtualenv.is_sandboxed:
        session.install("-e", f".[{extras}]", *others)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    install(session, "dev")
    session.run("python", "-m", "ruff", "check")
    session.run("python", "-m", "ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Static types, strictly, and stubs that say what the package offers."""
    install(session, "dev,jax")
    session.run("python", "scripts/write_stubs.py", "--check")
    session.run("python", "-m", "mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Imports only go down the floors of the house, by import-linter and by our own check."""
    install(session, "dev,jax")
    session.run("lint-imports", "--no-cache")
    session.run("python", "scripts/check_floors.py")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, with PyTorch and JAX beside the package so that every comparison runs."""
    install(session, "test,plot,vision,jax", REFERENCE)
    session.run("python", "-m", "pytest", "-n", "auto", *session.posargs)


@nox.session
@nox.parametrize("backend", ENGINES, ids=ENGINES)
def conformance(session: nox.Session, backend: str) -> None:
    """The shipped suite on one engine."""
    install(session, "test,jax")
    _run_suite(session, backend)


@nox.session
def template(session: nox.Session) -> None:
    """The template backend, installed as the separate distribution it is: its own tests, then the shipped suite."""
    install(session, "test", "-e", "plugins/template-backend")
    session.run("python", "-m", "pytest", "-c", "plugins/template-backend/pyproject.toml", "plugins/template-backend")
    _run_suite(session, "template")


@nox.session
@nox.parametrize("name", list(PLUGINS), ids=list(PLUGINS))
def plugin(session: nox.Session, name: str) -> None:
    """A plugin of ours, over a library that may be absent, as a distribution of its own: its tests, the suite among them."""
    requirement, module = PLUGINS[name]
    if session.virtualenv.is_sandboxed:
        session.run("python", "-m", "pip", "install", requirement, success_codes=(0, 1))
    attempt = f"try: import {module}\nexcept Exception as error: print(f'{{type(error).__name__}}: {{error}}')"
    if fault := str(session.run("python", "-c", attempt, silent=True)).strip():
        session.skip(f"{requirement} cannot be imported here ({fault})")
    folder = f"plugins/torchplug-{name}"
    install(session, "test", "-e", folder)
    session.run("python", "-m", "pytest", "-c", f"{folder}/pyproject.toml", folder)


def _run_suite(session: nox.Session, backend: str) -> None:
    suite = ("--pyargs", "torchplug_conformance", "--torchplug-backend", backend)
    session.run("python", "-m", "pytest", "-n", "auto", *suite, *session.posargs)


@nox.session
def doctests(session: nox.Session) -> None:
    """The examples in docstrings, the documentation and the README."""
    install(session, "test,jax,vision")
    # Test modules inside the packages are the conformance suite's; here only the examples of their docstrings run.
    only_examples = ("-o", "python_files=", "--doctest-modules", "--doctest-glob=*.md")
    session.run("python", "-m", "pytest", *only_examples, *DOCUMENTED, "docs", "README.md")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """The benchmark suite imports and is well formed; nothing is timed."""
    install(session, "bench,jax")
    session.run("python", "-m", "asv", "check", "--config", "asv_bench/asv.conf.json", "--python=same")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, with warnings as errors and without the network."""
    install(session, "docs,jax")
    for script in ("write_op_table.py", "write_contract.py", "write_conformance_results.py"):
        session.run("python", f"scripts/{script}", "--check")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")
