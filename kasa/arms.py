"""Arm: one method with its settings; METHODS: what each method is, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from kasa.checks import check, check_types, is_whole
from kasa.dataspec import TASKS

HEAD_TASKS = ("classification", "pair_classification", "regression", "multiple_choice")
# Where there is another label to give a row instead of its own.
NOISE_TASKS = ("classification", "pair_classification", "multiple_choice")
# Directions that A can begin with, and the methods that can begin so.
STARTS = ("gradient", "aligned", "removed")
STARTING = ("kasa", "lora", "rslora")


@dataclass(frozen=True)
class Method:
    """What a method is.

    `kind` is adapter (a few weights beside the frozen base are trained), full (all weights are) or
    baseline; `ranked` methods have a rank r. Learning rates that suit LoRA do not suit every
    method: the study's grid is multiplied by `rate_factor`, so that each gets as many trials, at
    its own usual scale. `tasks` are those that it can do.
    """

    kind: str
    ranked: bool = False
    rate_factor: float = 1.0
    tasks: tuple[str, ...] = tuple(TASKS)


# In the order in which they are shown and carried out. Factors: VeRA's and (IA)³'s authors train
# with several times LoRA's rate (arXiv:2310.11454, 2205.05638), full tuning with a hundredth.
METHODS: dict[str, Method] = {
    "kasa": Method("adapter", ranked=True),
    "lora": Method("adapter", ranked=True),
    "rslora": Method("adapter", ranked=True),
    "dora": Method("adapter", ranked=True),
    "pissa": Method("adapter", ranked=True),
    "adalora": Method("adapter", ranked=True),
    "vera": Method("adapter", ranked=True, rate_factor=3.0),
    "ia3": Method("adapter", rate_factor=3.0),
    "peft": Method("adapter"),
    "full": Method("full", rate_factor=0.01),
    "frozen_head": Method("baseline", tasks=HEAD_TASKS),
    "zero_shot": Method("baseline", tasks=("multiple_choice", "generation")),
    "tfidf": Method("baseline"),
    "majority": Method("baseline"),
}


@dataclass(frozen=True)
class Arm:
    """One method with its settings.

    `rank` is the adapter rank r; `alpha` scales ΔW by alpha/r and defaults to 2r;
    `removed_components` is KaSA's number of deleted singular triplets per matrix and defaults to r
    (paper), with 0 a control; a truncation `plan` says it per weight instead (module name -> so
    many of the smallest, or the numbers of the components, 0 the largest), weights that it does
    not name losing nothing, and `plan_name` says how it was made; `beta` and `gamma` weigh the two
    regularisers *averaged over the adapted matrices*; without its `diagonal` KaSA is LoRA on a
    truncated base. `target_modules` names the adapted linear layers; empty means the architecture's
    usual ones. `config` is the PEFT configuration of method "peft", as its adapter_config.json has
    it. `learning_rates` are the arm's own grid, as long as the study's; empty means the study's
    times the method's factor. `start` says where A begins instead of at random: at the task's
    gradient, at the base's directions that matter most to the task, or at the removed ones;
    `spread` gives the ranks of all matrices to those that the task's gradient asks for. With a
    `train_share` it is trained on that share of the training rows, with a `label_noise` that share
    of them has a wrong label: points of a learning curve and of a noise curve, beside the arms that
    are judged.
    """

    method: str
    rank: int = 8
    alpha: float | None = None
    removed_components: int | None = None
    beta: float = 1e-4
    gamma: float = 1e-3
    target_modules: tuple[str, ...] = ()
    plan: dict[str, int | list[int]] | None = field(default=None, hash=False)
    plan_name: str | None = None
    diagonal: bool = True
    config: dict[str, Any] | None = field(default=None, hash=False)
    learning_rates: tuple[float, ...] = ()
    train_share: float | None = None
    label_noise: float | None = None
    start: str | None = None
    spread: bool | None = None

    def __post_init__(self) -> None:
        """Check every setting."""
        check_types(self, "arms")
        check(
            condition=self.method in METHODS,
            name="arms.method",
            got=self.method,
            wanted=" | ".join(METHODS),
        )
        object.__setattr__(self, "learning_rates", tuple(map(float, self.learning_rates)))
        removed, alpha = self.removed_components, self.alpha
        plan = {} if self.plan is None else self.plan
        good_plan = isinstance(plan, dict) and all(map(_is_removal, plan.values()))
        needs_config = self.method == "peft"
        named = isinstance(self.config, dict) and bool(self.config.get("peft_type"))
        rates, share, noise = self.learning_rates, self.train_share, self.label_noise
        startable = self.method in STARTING
        rules = [
            ("rank", 1 <= self.rank <= 1024, "1 … 1024"),
            ("alpha", alpha is None or alpha > 0, "> 0"),
            ("removed_components", removed is None or removed >= 0, ">= 0"),
            ("plan", good_plan, "module name = number >= 0, or [numbers of components]"),
            ("beta", self.beta >= 0, ">= 0"),
            ("gamma", self.gamma >= 0, ">= 0"),
            ("diagonal", self.diagonal or not self.regularised, "true, or beta = gamma = 0"),
            ("config", named or not needs_config, 'peft_type = "LOHA", …'),
            ("config", needs_config or self.config is None, 'none, or method = "peft"'),
            ("learning_rates", all(0 < r < 1 for r in rates), "between 0 and 1"),
            ("learning_rates", len(set(rates)) == len(rates), "different"),
            *(
                (name, value is None or 0 < value < 1, "between 0 and 1")
                for name, value in (("train_share", share), ("label_noise", noise))
            ),
            ("label_noise", share is None or noise is None, "none, where train_share is set"),
            ("start", self.start in {None, *STARTS}, " | ".join(STARTS)),
            ("start", self.start is None or startable, f"none, or method {' | '.join(STARTING)}"),
            ("spread", not self.spread or startable, f"none, or method {' | '.join(STARTING)}"),
        ]
        for name, good, wanted in rules:
            check(condition=good, name=f"arms.{name}", got=getattr(self, name), wanted=wanted)

    @property
    def facts(self) -> Method:
        """What the arm's method is."""
        return METHODS[self.method]

    @property
    def scale_alpha(self) -> float:
        """LoRA's alpha, 2r unless it was set."""
        return 2.0 * self.rank if self.alpha is None else float(self.alpha)

    @property
    def components_to_remove(self) -> int:
        """Singular triplets that KaSA deletes per matrix without a plan: r unless it was set."""
        return self.rank if self.removed_components is None else self.removed_components

    @property
    def planned_removals(self) -> int:
        """Singular triplets that the plan deletes from all of its weights together."""
        plan = self.plan or {}
        return sum(each if isinstance(each, int) else len(each) for each in plan.values())

    def removed_from(self, module: str) -> int | list[int]:
        """Return how many of its smallest singular triplets a weight loses, or which ones.

        A plan names weights as the model's files do; a loaded model may lack their first parts.
        """
        if self.plan is None:
            return self.components_to_remove
        names = (name for name in self.plan if name == module or name.endswith(f".{module}"))
        return self.plan.get(next(names, module), 0)

    @property
    def judged(self) -> bool:
        """Whether the arm learns from all training rows as they are, and so can be judged."""
        return self.train_share is None and self.label_noise is None

    @property
    def whole(self) -> Arm:
        """The arm with all training rows as they are, of whose curve this one is a point."""
        return replace(self, train_share=None, label_noise=None)

    @property
    def tuned(self) -> bool:
        """Whether the arm trains weights of the model, so that learning rates are its budget."""
        return self.facts.kind != "baseline"

    @property
    def plans_by_steps(self) -> bool:
        """Whether the method must know beforehand how many steps its training will have."""
        return "adalora" in {self.method, str((self.config or {}).get("peft_type")).lower()}

    @property
    def informed(self) -> bool:
        """Whether the adapter's shape or beginning is read off the training rows first."""
        return self.start is not None or bool(self.spread)

    @property
    def regularised(self) -> bool:
        """Whether KaSA's penalties count."""
        return self.beta > 0 or self.gamma > 0

    @property
    def slug(self) -> str:
        """A short name for files and tables, for example kasa-r8."""
        shares = {"rows": self.train_share, "noise": self.label_noise}
        named = (f"-{name}{100 * share:g}" for name, share in shares.items() if share is not None)
        return self._method_slug() + "".join(named)

    def _method_slug(self) -> str:
        if self.method == "peft":
            return f"peft-{str((self.config or {})['peft_type']).lower()}"
        if not self.facts.ranked:
            return self.method
        slug = f"{self.method}-r{self.rank}"
        removed = self.components_to_remove
        is_kasa = self.method == "kasa"
        parts = {
            "plan": is_kasa and self.plan is not None,
            f"cut{removed}": is_kasa and self.plan is None and removed != self.rank,
            "nodiag": is_kasa and not self.diagonal,
            "noreg": is_kasa and not self.regularised,
            str(self.start): self.start is not None,
            "spread": bool(self.spread),
        }
        return "-".join([slug, *(name for name, there in parts.items() if there)])


def _is_removal(value: Any) -> bool:
    listed = value if isinstance(value, list) else [value]
    return all(is_whole(number) and number >= 0 for number in listed)


def kasa_parts(rank: int = 8) -> tuple[Arm, ...]:
    """Return KaSA's parts as arms: with them a study can say which of them makes a difference.

    LoRA; its base truncated; its diagonal alone; KaSA without penalties, without a cut, with four
    times the cut; KaSA.
    """
    bare = Arm("kasa", rank, beta=0.0, gamma=0.0)
    return (
        Arm("kasa", rank),
        bare,
        Arm("kasa", rank, removed_components=0),
        Arm("kasa", rank, removed_components=4 * rank),
        replace(bare, removed_components=0),
        replace(bare, diagonal=False),
        Arm("lora", rank),
    )


def curve_arms(
    arms: Iterable[Arm], train_shares: Iterable[float], label_noises: Iterable[float]
) -> tuple[Arm, ...]:
    """Return the points of the arms' learning curves and noise curves, but for the arms' own."""
    shares, noises = sorted(train_shares), sorted(label_noises)
    return tuple(
        point
        for arm in arms
        for point in (
            *(replace(arm, train_share=share) for share in shares),
            *(replace(arm, label_noise=noise) for noise in noises),
        )
    )


def default_arms(task: str) -> tuple[Arm, ...]:
    """Return what a new study compares: KaSA, LoRA and the cheap methods that the task allows."""
    baselines = ("frozen_head", "zero_shot", "tfidf")
    allowed = [name for name in baselines if task in METHODS[name].tasks]
    return (Arm("kasa"), Arm("lora"), *map(Arm, allowed))
