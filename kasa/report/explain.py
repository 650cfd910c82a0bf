"""What a run has learned, as sentences, tables and marked rows from what `explain` found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.special import stdtrit

from kasa.data.personal import find_personal, masked_labels
from kasa.report.tree import Table
from kasa.text import Translator

LEVEL = 0.95
MOST_CLASSES_TOLD = 3
Found = Mapping[str, Any]


def interval(change: Found, num_joint: int = 1) -> tuple[float, float]:
    """Return a mean change's t-interval; of `num_joint` ones all hold together with 95 %.

    Bonferroni's correction; one row alone has no interval but (−∞, ∞).
    """
    if change["rows"] < 2:
        return float("-inf"), float("inf")
    quantile = float(stdtrit(change["rows"] - 1, 1 - (1 - LEVEL) / (2 * num_joint)))
    half = quantile * change["error"]
    return change["change"] - half, change["change"] + half


def is_clear(change: Found, num_joint: int) -> bool:
    """Say whether a change is above 0 beyond chance, among `num_joint` looked at."""
    low, _ = interval(change, num_joint)
    return bool(low > 0 and change["error"] > 0)


def class_names(found: Found, *, masked: bool) -> list[str]:
    """Return the classes' names, likely personal data hidden where the study says so."""
    labels: list[str] = found["labels"]
    if not masked:
        return labels
    hidden = masked_labels(labels)
    return [hidden.get(label, label) for label in labels]


def kind_of(module: str, layer: int) -> str:
    """Return a module's name inside its layer, such as attention.self.value."""
    return module.split(f".{layer}.", 1)[-1]


def module_names(found: Found, text: Translator) -> dict[str, str]:
    """Return a readable name per module: layer, and the shortest end of its name that is unique."""
    kinds = {own["module"]: kind_of(own["module"], own["layer"]) for own in found["modules"]}
    ends = {kind: kind.rsplit(".", 1)[-1] for kind in set(kinds.values())}
    unique = len(set(ends.values())) == len(ends)
    names = {}
    for own in found["modules"]:
        kind = kinds[own["module"]]
        short = ends[kind] if unique else kind
        outside = own["layer"] < 0
        layer = "" if outside else f"{text('knowledge.layer', number=own['layer'])} · "
        names[own["module"]] = f"{layer}{short}"
    return names


def sentences(found: Found, text: Translator, *, masked: bool) -> list[str]:
    """Say what training added, in which layers it sits, and where single classes have theirs."""
    said = [_whole(found, text)]
    layers = found["layers"]
    clear = [own for own in layers if is_clear(own["effect"], len(layers))]
    if clear:
        ranked = sorted(clear, key=lambda own: -own["effect"]["change"])
        names = text.listed([layer_name(own, text) for own in ranked[:3]])
        rise = text.number(ranked[0]["effect"]["change"], 3)
        said.append(
            text("explain.layers", layers=names, first=layer_name(ranked[0], text), rise=rise)
        )
    else:
        said.append(text("explain.no_layer"))
    return [*said, *_class_sentences(found, text, masked=masked)]


def _whole(found: Found, text: Translator) -> str:
    """Say what silencing all of the addition does, and that this is not the untuned model."""
    whole, cut = found["all"], any(own["removed"] for own in found["modules"])
    low, high = interval(whole)
    said = text(
        "explain.whole",
        cut=text("explain.cut") if cut else "",
        rows=text.number(found["num_rows"]),
        before=text.number(found["loss"], 3),
        after=text.number(found["loss"] + whole["change"], 3),
        change=text.number(whole["change"], 3),
        low=text.number(low, 3),
        high=text.number(high, 3),
    )
    if found["accuracy"] is not None:
        shares = {"before": found["accuracy"], "after": whole["accuracy"]}
        said += text("explain.whole_accuracy", **{k: text.percent(v) for k, v in shares.items()})
    if not low <= 0 <= high:
        return said + " " * (text.lang == "en") + text("explain.not_untuned")
    chance = text("explain.may_be_chance") + " " * (text.lang == "en")
    return said + chance + text("explain.not_untuned")


def _class_sentences(found: Found, text: Translator, *, masked: bool) -> Iterator[str]:
    names = class_names(found, masked=masked)
    if not names:
        return
    count = len(names) * len(found["layers"])
    told = [
        (-own["effect"]["classes"][number]["change"], number, own)
        for own in found["layers"]
        for number in range(len(names))
        if is_clear(own["effect"]["classes"][number], count)
    ]
    if not told:
        yield text("explain.no_class")
    by_class: dict[int, list[Found]] = {}
    for _, number, own in sorted(told, key=lambda each: each[:2]):
        by_class.setdefault(number, []).append(own)
    for number, layers in list(by_class.items())[:MOST_CLASSES_TOLD]:
        places = [_place(found, own, number, count, text) for own in layers[:2]]
        yield text("explain.class_sits", label=names[number], places=text.listed(places))


def _place(found: Found, layer: Found, number: int, num_joint: int, text: Translator) -> str:
    """Name a layer, and the weights of it that the class clearly needs."""
    own = [module for module in found["modules"] if module["layer"] == layer["layer"]]
    clear = [m for m in own if is_clear(m["effect"]["classes"][number], num_joint * len(own))]
    name = layer_name(layer, text)
    if not clear:
        return name
    kinds = [kind_of(m["module"], m["layer"]).rsplit(".", 1)[-1] for m in clear]
    return text("explain.place", layer=name, weights=", ".join(kinds))


def layer_name(own: Found, text: Translator) -> str:
    """Return what a layer is called; what lies outside of all has a name of its own."""
    if own["layer"] < 0:
        return text("explain.outside")
    return text("knowledge.layer", number=own["layer"])


def component_table(module: Found, text: Translator) -> Table:
    """Return one row per component of a weight's addition: strength, share, loudness, effect."""
    energy = sum(value**2 for value in module["values"]) or 1.0
    rows = []
    for each in module["components"]:
        value, effect = module["values"][each["number"]], each.get("effect")
        half = interval(effect)[1] - effect["change"] if effect and effect["rows"] > 1 else 0.0
        rows.append(
            (
                text.number(each["number"] + 1),
                text.number(value, 3),
                _share(value**2 / energy, text),
                text.number(each["loudness"], 3),
                f"{text.number(effect['change'], 4)} ± {text.number(half, 4)}" if effect else "–",
            )
        )
    names = ("number", "value", "share", "loudness", "effect")
    header = tuple(text(f"explain.column.{name}") for name in names)
    return Table(header, tuple(rows), numeric=(0, 1, 2, 3))


def _share(share: float, text: Translator) -> str:
    """Return a share in whole per cent; a small one is not nothing."""
    return f"<{text.percent(0.01, 0)}" if 0 < share < 0.005 else text.percent(share, 0)


def facts_line(module: Found, text: Translator) -> str:
    """Say how large an addition is beside its weight, how much was cut, and where it lies."""
    off_axis = text.percent(module["outside"], 0)
    words = text("explain.relative", share=text.percent(module["relative"], 1))
    if module["removed"]:
        words += text("explain.removed", count=text.number(module["removed"]))
    return words + (text("explain.off_axis", share=off_axis) if module["outside"] > 0.005 else "")


def marked(
    pieces: Sequence[str], tokens: Sequence[Sequence[float]], *, masked: bool
) -> list[list[tuple[str, float]]]:
    """Return each piece of a row as (text, strength from 0 to 1), its tokens marked.

    Likely personal data stands as its kind in square brackets, unmarked, where it is to be hidden.
    """
    loudest = max((abs(value) for *_, value in tokens), default=0.0) or 1.0
    found = []
    for number, piece in enumerate(pieces):
        own = [
            (int(start), int(end), abs(value) / loudest)
            for place, start, end, value in tokens
            if place == number
        ]
        hidden = find_personal(piece) if masked else []
        for finding in hidden:
            own = [t for t in own if t[1] <= finding.start or t[0] >= finding.end]
        named = [(each.start, each.end, f"[{each.kind}]", 0.0) for each in hidden]
        named += [(start, end, piece[start:end], strength) for start, end, strength in own]
        found.append(_filled(piece, sorted(named)))
    return found


def _filled(piece: str, named: Sequence[tuple[int, int, str, float]]) -> list[tuple[str, float]]:
    """Return the named stretches of a piece with what stands between them."""
    parts, end = [], 0
    for start, stop, words, strength in named:
        if start < end:
            continue
        parts += [(piece[end:start], 0.0), (words, strength)]
        end = stop
    return [part for part in [*parts, (piece[end:], 0.0)] if part[0]]
