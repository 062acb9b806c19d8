"""Runs CuPy's elementwise kernels on the host: their C++ text, compiled by the machine's own compiler over NumPy arrays."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ElementwiseKernel", "compiler"]

_HEADER = """
#include <cmath>
#define __device__
using namespace std;
struct float16;
"""
_TYPES = {"f": "float", "d": "double"}
_KERNELS: list[ElementwiseKernel] = []


def compiler() -> str | None:
    """Returns the C++ compiler's path, or None."""
    return shutil.which("g++") or shutil.which("clang++")


class ElementwiseKernel:
    """CuPy's ElementwiseKernel for parameters of type T (arrays) and float64 (numbers)."""

    def __init__(self, in_params: str, out_params: str, operation: str, name: str, preamble: str = "") -> None:
        self.inputs = [tuple(each.split()) for each in in_params.split(", ")]
        self.outputs = [tuple(each.split()) for each in out_params.split(", ")]
        self.operation, self.name, self.preamble = operation, name, preamble
        _KERNELS.append(self)

    def source(self, character: str) -> str:
        """Returns the loop over one element type as C++."""
        parameters = ["long n"]
        reads = ""
        for kind, name in (*self.inputs, *self.outputs):
            output = (kind, name) in self.outputs
            parameters.append(f"double {name}" if kind == "float64" else f"{'' if output else 'const '}T *_{name}")
            if kind == "T":
                reads += f"{'T &' if output else 'const T '}{name} = _{name}[i];"
        return (
            f'namespace {self.name}_{character} {{ typedef {_TYPES[character]} T; extern "C" void '
            f"{self.name}_{character}({', '.join(parameters)}) {{ for (long i = 0; i < n; ++i) {{ {reads} "
            f"{self.operation}; }} }} }}\n"
        )

    def __call__(self, *arguments: Any) -> Any:
        from fake_cupy import own

        given = [np.asarray(each) if isinstance(each, np.ndarray) else each for each in arguments]
        arrays = [each for each in given if isinstance(each, np.ndarray)]
        shape, character = np.broadcast_shapes(*[each.shape for each in arrays]), arrays[0].dtype.char
        outputs = given[len(self.inputs) :]
        results = [np.ascontiguousarray(each).copy() for each in outputs] or [np.empty(shape, arrays[0].dtype)]
        passed: list[Any] = [ctypes.c_long(results[0].size)]
        held = []
        for (kind, _), each in zip(self.inputs, given, strict=False):
            if kind == "float64":
                passed.append(ctypes.c_double(each))
            else:
                held.append(np.ascontiguousarray(np.broadcast_to(each, shape)))
                passed.append(held[-1].ctypes.data_as(ctypes.c_void_p))
        passed += [each.ctypes.data_as(ctypes.c_void_p) for each in results]
        getattr(_library(_text()), f"{self.name}_{character}")(*passed)
        for output, result in zip(outputs, results, strict=False):
            output[...] = result
        return None if outputs else own(results[0])


def _text() -> str:
    """Returns all kernels made so far as one program; of kernels made anew, as modules are, the last."""
    latest = {each.name: each for each in _KERNELS}
    preamble = next(iter(latest.values())).preamble
    half = "template<> struct wide<float16> { typedef float type; };"
    return _HEADER + preamble.replace(half, "") + "".join(k.source(c) for k in latest.values() for c in _TYPES)


@functools.cache
def _library(text: str) -> ctypes.CDLL:
    folder = Path(tempfile.mkdtemp(prefix="torchplug-kernels-"))
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text(text)
    command = [compiler() or "g++", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = ctypes.CDLL(str(library))
    shutil.rmtree(folder)
    return loaded
