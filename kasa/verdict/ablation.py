"""What each part of KaSA brings: from LoRA to KaSA one part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from kasa.arms import Arm
from kasa.verdict.compare import Verdict
from kasa.verdict.evidence import Evidence

PARTS = ("truncation", "diagonal", "penalties")


@dataclass(frozen=True)
class Step:
    """One part added to those before it; `verdict` judges the arm with it against that without."""

    part: str
    verdict: Verdict


def ablation(evidence: Evidence, metric: str) -> tuple[Step, ...]:
    """Return the steps from LoRA to KaSA; empty where one of the four arms has no result.

    LoRA → its base truncated → with the diagonal → with the penalties, which is KaSA. On the same
    seeds the steps add up to KaSA − LoRA.
    """
    for arms in _ladders(evidence):
        found = [evidence.verdict_between(b, a, metric) for a, b in pairwise(arms)]
        steps = [Step(part, v) for part, v in zip(PARTS, found, strict=True) if v is not None]
        if len(steps) == len(PARTS):
            return tuple(steps)
    return ()


def _ladders(evidence: Evidence) -> Iterator[list[str]]:
    """Yield the names of the four arms for every KaSA of the study that has the other three."""
    study = evidence.study
    names = list(zip(study.arms, study.arm_names(), strict=True))
    for arm in study.arms:
        if arm.method != "kasa" or not arm.diagonal or not arm.regularised:
            continue
        bare = replace(arm, beta=0.0, gamma=0.0)
        lora = Arm(
            "lora",
            arm.rank,
            arm.alpha,
            target_modules=arm.target_modules,
            learning_rates=arm.learning_rates,
        )
        ladder = (lora, replace(bare, diagonal=False), bare, arm)
        found = [name for wanted in ladder for known, name in names if known == wanted]
        if len(found) == len(ladder):
            yield found
