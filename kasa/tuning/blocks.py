"""Running a base from one of its blocks upwards: what lies below is run once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from kasa.errors import ModelError


def block_of(base: nn.Module, module: str) -> tuple[nn.ModuleList, int]:
    """Return the list of blocks that a module lies in, and its block's place there."""
    parts = module.split(".")
    for place, name in enumerate(parts):
        blocks = base.get_submodule(".".join(parts[:place]))
        if name.isdigit() and isinstance(blocks, nn.ModuleList):
            return blocks, int(name)
    raise ModelError("no_targets", model_type=type(base).__name__, wanted=module)


@contextmanager
def from_block(base: nn.Module, module: str, run: Callable[[], object]) -> Iterator[None]:
    """Let `base` start at the block of `module` inside the context.

    `run` is called once, whole, and what enters the block is kept for each of its batches. Every
    run inside the context must bring the same batches in the same order; the blocks below then
    hand on what they are given, and the block reads what was kept. Nothing below may change.
    """
    blocks, place = block_of(base, module)
    if place == 0:
        yield
        return
    kept: list[Tensor] = []
    tuples: dict[int, bool] = {}
    with ExitStack() as stack:
        for number in range(place):
            look = _shape_watcher(tuples, number)
            stack.callback(blocks[number].register_forward_hook(look).remove)
        record = blocks[place].register_forward_pre_hook(
            lambda _block, args, kwargs: kept.append(_hidden(args, kwargs)), with_kwargs=True
        )
        stack.callback(record.remove)
        run()
    with ExitStack() as stack:
        for number in range(place):
            stack.enter_context(_passing(blocks[number], as_tuple=tuples[number]))
        enter = blocks[place].register_forward_pre_hook(_replayer(kept), with_kwargs=True)
        stack.callback(enter.remove)
        yield


def _shape_watcher(tuples: dict[int, bool], number: int) -> Callable[..., None]:
    def look(_block: nn.Module, _args: Any, output: Any) -> None:
        tuples[number] = isinstance(output, tuple)

    return look


def _replayer(kept: list[Tensor]) -> Callable[..., tuple[Any, Any]]:
    """Return a hook that gives a block the kept states in turn, from the first again at the end."""
    calls = 0

    def enter(_block: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        nonlocal calls
        found = kept[calls % len(kept)]
        calls += 1
        if "hidden_states" in kwargs:
            return args, {**kwargs, "hidden_states": found}
        return (found, *args[1:]), kwargs

    return enter


def _hidden(args: Any, kwargs: Any) -> Tensor:
    found: Tensor = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
    return found.detach()


@contextmanager
def _passing(block: nn.Module, *, as_tuple: bool) -> Iterator[None]:
    """Let a block hand on what it is given, inside the context."""
    plain = block.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        found = _hidden(args, kwargs)
        return (found,) if as_tuple else found

    block.forward = forward
    try:
        yield
    finally:
        block.forward = plain
