"""`explain`: what an engine would do with a function's ops, known from one run on another engine."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from torchplug._compile.watch import replaced
from torchplug._core import selection
from torchplug._core.kernels import COMPOSITIONS
from torchplug._core.kind import Engine, engine_for
from torchplug._core.op import Op, ViewOp
from torchplug._core.tracing import current_trace, trace_state, user_line
from torchplug.explaining.outcome import tried
from torchplug.explaining.recording import Bystander, arrays_in, is_step
from torchplug_spec import DType

__all__ = ["Explanation", "OpUse", "explained"]

_REFERENCE = "strict"
"""Has the required functions only: everything else shows what it is composed of."""
_GRADIENTS = os.path.join("torchplug", "autograd", "engine.py")
_MEMORY = ("torchplug.ops.structure", "torchplug_spec.strided_memory")


class OpUse:
    """One kernel a function needs. `how`: "native" (the engine's own), "composed" or "missing".

    `phase`: "forward", "backward" or "step" (an optimizer's). `calls`: how many. `line`: "file:line" of the first. `dtypes`: the names of all that went
    in or came out. `parts`: what a composed one is made of on this engine. `reason`: of a missing one, or a remark.
    """

    def __init__(self, name: str, phase: str, line: str) -> None:
        self.name = name
        self.phase = phase
        self.line = line
        self.calls = 0
        self.how = ""
        self.reason = ""
        self.parts: tuple[str, ...] = ()
        self.dtypes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{self.how} {self.name}, {self.calls} calls>"


class Explanation:
    """What `explain` found: `uses`, and of them `native`, `composed`, `missing`; `ok` if nothing is missing. Prints as a table.

    `fuses`: the engine compiles each composition into one kernel.
    """

    def __init__(self, backend: str, uses: tuple[OpUse, ...], fuses: bool) -> None:
        self.backend = backend
        self.uses = uses
        self.fuses = fuses

    @property
    def native(self) -> tuple[OpUse, ...]:
        return self._of("native")

    @property
    def composed(self) -> tuple[OpUse, ...]:
        return self._of("composed")

    @property
    def missing(self) -> tuple[OpUse, ...]:
        return self._of("missing")

    @property
    def ok(self) -> bool:
        return not self.missing

    def _of(self, how: str) -> tuple[OpUse, ...]:
        return tuple(use for use in self.uses if use.how == how)

    def __repr__(self) -> str:
        counts = f"{len(self.native)} native, {len(self.composed)} composed, {len(self.missing)} missing"
        lines = [f"On {self.backend} this needs {len(self.uses)} kernels: {counts}"]
        name = max((len(use.name) for use in self.uses), default=0) + 2
        place = max((len(_short(use.line)) for use in self.uses), default=0) + 2
        for how in ("missing", "composed", "native"):
            if uses := self._of(how):
                lines += ["", f"{how}, each compiled into one kernel" if how == "composed" and self.fuses else how]
            for use in uses:
                remark = use.reason or (f"of {', '.join(use.parts)}" if use.parts else "")
                said = f"  {use.name:{name}}{use.calls:>5} x  {use.phase:10}{_short(use.line):{place}}{remark}"
                lines.append(said.rstrip())
        return "\n".join(lines)


def explained(function: Callable[..., Any], args: tuple[Any, ...], backend: str | None, gradients: bool) -> Explanation:
    """Does what `torchplug.explain` says."""
    if not callable(function):
        raise TypeError(f"explain() got {type(function).__name__} for the function, expected something to call")
    name = selection.get_backend() if backend is None else backend
    listing = _Listing(engine_for(name))
    outcome = tried(function, args, _REFERENCE, listing, gradients)
    if outcome.error is not None:
        raise outcome.error
    return Explanation(name, tuple(listing.uses.values()), hasattr(listing.target.backend, "fuse"))


class _Listing(Bystander):
    """Notes the outermost kernels of a run on the reference engine, and what those compose that the target lacks."""

    def __init__(self, target: Engine) -> None:
        self.target = target
        self.uses: dict[tuple[str, str], OpUse] = {}
        self._inside: OpUse | None = None
        self._hidden = False

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        token = trace_state.set(self)
        try:
            with replaced(engine_for(_REFERENCE), self._around_op, self._around_kernel):
                yield
        finally:
            trace_state.reset(token)

    def _around_op(self, engine: Engine, op: Op, kernel: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(op, ViewOp) or _moves_memory(op.kernel):
            return kernel
        return self._noting(engine, op.kernel, kernel, always=True)

    def _around_kernel(self, engine: Engine, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        if _moves_memory(name):
            return kernel
        return self._noting(engine, name, kernel, always=name in COMPOSITIONS)

    def _noting(self, engine: Engine, name: str, kernel: Callable[..., Any], always: bool) -> Callable[..., Any]:
        """Returns a kernel that notes itself: as a use of its own (`always`) or as a part of the one it is called by."""

        def noted(*args: Any, **keywords: Any) -> Any:
            outer = self._inside
            if current_trace() is not self or self._hidden or (outer is None and not always):
                return kernel(*args, **keywords)
            use = self._use(name) if outer is None else outer
            how, reason = self._fate(name)
            if outer is not None and how == "native" and name not in outer.parts:
                outer.parts = (*outer.parts, name)
            self._inside, self._hidden = use, how == "native"
            try:
                result = kernel(*args, **keywords)
            finally:
                self._inside, self._hidden = outer, False
            arrays = [*arrays_in(args), *arrays_in((result,))]
            dtypes = {engine.F.dtype_of(x) for x in arrays if not engine.is_tracing(x)}
            if outer is None:
                use.how = use.how or how
                use.reason = use.reason or reason
                use.dtypes = tuple(sorted({*use.dtypes, *(dtype.name for dtype in dtypes)}))
            self._check(use, name, how, reason, dtypes)
            return result

        return noted

    def _use(self, name: str) -> OpUse:
        phase = "step" if is_step(name) else _phase()
        use = self.uses.get((name, phase))
        if use is None:
            use = self.uses[name, phase] = OpUse(name, phase, user_line())
        use.calls += 1
        return use

    def _fate(self, name: str) -> tuple[str, str]:
        F = self.target.F
        if F.has_own(name):
            return "native", "in part; what it does not take is composed" if F.has_part(name) else ""
        if name in COMPOSITIONS:
            return "composed", ""
        return "missing", f"backend '{self.target.name}' has no kernel of that name, and there is no composition"

    def _check(self, use: OpUse, name: str, how: str, reason: str, dtypes: set[DType]) -> None:
        """Marks a use as missing when it, or a part of it, is or needs a dtype that the target lacks."""
        inner = "" if use.name == name else f", in {name}"
        lacking = sorted(
            {f"{d.name} needs the capability '{self.target.lacks(d)}'" for d in dtypes if self.target.lacks(d)}
        )
        if lacking or how == "missing":
            use.how = "missing"
            use.reason = f"{'; '.join(lacking) or reason}{inner}"


def _moves_memory(name: str) -> bool:
    return name in (
        "copy",
        "dense",
        "to_numpy",
        "from_numpy",
        "dtype_of",
        "device_of",
        "find",
        "has_own",
        "has_part",
    ) or (getattr(COMPOSITIONS.get(name), "__module__", "") in _MEMORY)


def _phase() -> str:
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.endswith(_GRADIENTS):
            return "backward"
        frame = frame.f_back  # type: ignore[assignment]
    return "forward"


def _short(line: str) -> str:
    path, _, number = line.rpartition(":")
    return f"{os.path.basename(path)}:{number}"
