"""Hooks on nodes of the gradient graph, and the handles that remove hooks of every kind."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["NodeHooks", "RemovableHandle"]


class RemovableHandle:
    """Removes a hook: `handle.remove()`, or at the end of a with block."""

    next_id = itertools.count()

    def __init__(self, hooks: dict[int, Any], *, extra_dict: Any = None) -> None:
        self.id = next(RemovableHandle.next_id)
        self._hooks = _weak(hooks)
        extras = extra_dict if isinstance(extra_dict, (list, tuple)) else () if extra_dict is None else (extra_dict,)
        self._extras = tuple(_weak(extra) for extra in extras)

    def remove(self) -> None:
        """Removes the hook; a second call does nothing."""
        for ref in (self._hooks, *self._extras):
            hooks = ref()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self) -> tuple[int, Any, tuple[Any, ...]]:
        return self.id, self._hooks(), tuple(ref() for ref in self._extras)

    def __setstate__(self, state: tuple[int, Any, tuple[Any, ...]]) -> None:
        self.id, hooks, extras = state
        self._hooks, self._extras = _weak(hooks), tuple(_weak(extra) for extra in extras)
        # The numbers given from now on must not meet those that came with a copied or loaded object.
        RemovableHandle.next_id = itertools.count(max(next(RemovableHandle.next_id), self.id + 1))

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _weak(hooks: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(hooks)
    except TypeError:
        return lambda: hooks


class NodeHooks:
    """The hooks of one node: on incoming gradients, on results, after accumulation."""

    __slots__ = ("post", "post_accumulate", "pre")

    def __init__(self) -> None:
        self.pre: dict[int, tuple[int | None, Any]] = {}
        self.post: dict[int, Any] = {}
        self.post_accumulate: dict[int, Any] = {}

    @staticmethod
    def of(node: Any) -> NodeHooks:
        """Returns a node's hooks, making the container at the first."""
        if node.hooks is None:
            node.hooks = NodeHooks()
        return node.hooks

    def add_pre(self, index: int, hook: Any) -> RemovableHandle:
        handle = RemovableHandle(self.pre)
        self.pre[handle.id] = (index, hook)
        return handle

    def add_pre_all(self, hook: Any) -> RemovableHandle:
        """Adds a hook on all incoming gradients at once."""
        handle = RemovableHandle(self.pre)
        self.pre[handle.id] = (None, hook)
        return handle

    def add_post(self, hook: Any) -> RemovableHandle:
        handle = RemovableHandle(self.post)
        self.post[handle.id] = hook
        return handle

    def add_post_accumulate(self, hook: Any) -> RemovableHandle:
        handle = RemovableHandle(self.post_accumulate)
        self.post_accumulate[handle.id] = hook
        return handle

    def run_post(self, results: Any, grads: Any, node: Any, tensors: bool) -> Any:
        """Calls the result hooks `hook(grad_inputs, grad_outputs)`; what one returns replaces the results."""
        from torchplug._core.tensor import array_of, wrap

        def shown(values: Any) -> tuple[Any, ...]:
            return tuple(v if v is None or tensors else wrap(v, node.kind.of(v)) for v in values)

        outer = shown(grads)
        for hook in list(self.post.values()):
            replaced = hook(shown(results), outer)
            if replaced is not None:
                results = [v if v is None or tensors else array_of(v) for v in replaced]
        return results
