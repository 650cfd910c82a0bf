"""Progress bars with the time left, for notebooks and terminals."""

from __future__ import annotations

from collections.abc import Callable

from tqdm.auto import tqdm

from kasa.spectral.stream import Progress


def progress_bar() -> Callable[[Progress], None]:
    """Return a `progress` that draws a bar with the time left, in a notebook or a terminal."""
    bar = tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}")

    def show(step: Progress) -> None:
        bar.set_postfix_str(f"{step.done}/{step.total} {step.module}", refresh=False)
        bar.update(step.share - bar.n)
        if step.done == step.total:
            bar.close()

    return show
