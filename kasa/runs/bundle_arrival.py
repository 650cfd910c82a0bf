"""A bundle's study on its way into the workspace: everything is checked, and undone if need be.

What was asked of a run is written anew from the settings; only results, predictions, the card, rows
and weights come from the bundle, and its data file only where its SHA-256 is the study's.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tomllib
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from kasa.data.card import card_from_dict
from kasa.data.rows import INPUTS, TARGETS
from kasa.errors import StoreError
from kasa.runs.bundle_archive import (
    Archive,
    BundledRun,
    Listed,
    Manifest,
    bundled_run,
    understood,
)
from kasa.runs.bundle_facts import good_card, good_run
from kasa.runs.bundle_parts import (
    CARD,
    DATA,
    PREDICTIONS,
    RESULT,
    STUDY,
    TEST_DATA,
    WEIGHTS,
    bundled_runs,
    parts,
)
from kasa.runs.files import explained, file_name, safe_name, write_bytes, write_json
from kasa.runs.store import BARE_ROWS, ROWS, SHA256, Store
from kasa.study import Study, study_from_dict


def study_of(store: Store, archive: Archive) -> Study:
    """Return the bundle's study with its data where it lies here, or would lie."""
    content = archive.read(STUDY)
    with understood(STUDY):
        study = study_from_dict(tomllib.loads(content.decode()))
        data, runs = study.data, archive.manifest.runs
        places = {(run.arm, run.seed) for run in runs}
        _require(SHA256.fullmatch(data.sha256 or ""))
        _require(not data.test_path or SHA256.fullmatch(data.test_sha256 or ""))
        _require(len(places) == len(runs) and {arm for arm, _ in places} <= {*study.arm_names()})
    study.check_task()
    data = replace(data, path=str(_place(store, data.path, str(data.sha256))))
    if data.test_path:
        data = replace(data, test_path=str(_place(store, data.test_path, str(data.test_sha256))))
    return replace(study, data=data)


def _place(store: Store, path: str, sha256: str) -> Path:
    kept = store.kept_dataset(sha256)
    return kept or store.home / "datasets" / sha256 / safe_name(file_name(path))


def known_here(store: Store, study: Study, archive: Archive) -> str | None:
    """Return the id of a study here that would make the same bundle but for its runs' ids."""
    wanted = _contents(archive.manifest.runs, archive.files.values())
    for record in store.studies():
        if record.status == "draft" or record.study.fingerprint() != study.fingerprint():
            continue
        with suppress(StoreError):  # its data is not here, so it is another
            made = parts(store, record.id, with_data=archive.manifest.with_data)
            listed = [Listed.of(name, content) for name, content in made]
            runs = map(bundled_run, bundled_runs(store, record.id)[0])
            if _contents(runs, listed) == wanted:
                return record.id
    return None


def _contents(runs: Iterable[BundledRun], files: Iterable[Listed]) -> set[tuple[str, str]]:
    """Return every file's SHA-256 by its name, in which a run is called by its arm and seed."""
    names = {run.id: f"{run.arm}/{run.seed}" for run in runs}
    found = set()
    for each in files:
        head, _, rest = each.name.removeprefix("runs/").partition("/")
        name = f"{names[head]}/{rest}" if each.name.startswith("runs/") else each.name
        found.add((name, each.sha256))
    return found


def brought_in(store: Store, study: Study, archive: Archive) -> str:
    """Write everything and read it as the pages will; undo all of it where one part fails."""
    with ExitStack() as undo:
        study_id, ids = _claimed(store, archive.manifest, undo)
        added = _write_data(study, archive, undo)
        _write_study(store.study_folder(study_id), study, archive)
        for run in archive.manifest.runs:
            config = _config(store, study_id, study, run)
            _write_run(store.run_folder(ids[run.id]), config, run, archive)
        undo.callback(_forget, store, study_id)
        _register(store, study_id, ids, study, archive.manifest)
        with understood(RESULT):
            _check(store, study_id, study)
        undo.pop_all()
    for path in added:
        facts = {"name": path.name, "sha256": path.parent.name, "bytes": path.stat().st_size}
        store.ledger.note("dataset_added", **facts)
    return study_id


def _claimed(store: Store, manifest: Manifest, undo: ExitStack) -> tuple[str, dict[str, str]]:
    """Return the study's and every run's id here, once their folders are ours alone."""
    own = manifest.study, {run.id: run.id for run in manifest.runs}
    other = secrets.token_hex(5), {run.id: secrets.token_hex(6) for run in manifest.runs}
    for study_id, ids in (own, other):
        if _taken(store, study_id, ids):
            continue
        with ExitStack() as made:
            for folder in (store.study_folder(study_id), *map(store.run_folder, ids.values())):
                try:
                    with explained(folder):
                        folder.parent.mkdir(parents=True, exist_ok=True)
                        folder.mkdir()
                except FileExistsError:  # of another import at work, or left by one that was killed
                    break
                made.callback(shutil.rmtree, folder, ignore_errors=True)
            else:
                undo.push(made.pop_all())
                return study_id, ids
    raise StoreError("bundle_unreadable", detail=manifest.study)


def _taken(store: Store, study_id: str, ids: dict[str, str]) -> bool:
    with store.connect() as db:
        used = db.execute("SELECT 1 FROM studies WHERE id = ?", (study_id,)).fetchone()
        for run_id in ids.values():
            used = used or db.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone()
    return used is not None


def _write_data(study: Study, archive: Archive, undo: ExitStack) -> list[Path]:
    """Keep the data files that came and are not here yet; return where they lie."""
    if not archive.manifest.with_data:
        return []
    added = []
    data = study.data
    wanted = ((DATA, data.path, data.sha256), (TEST_DATA, data.test_path, data.test_sha256))
    for folder, place, sha256 in wanted:
        if not place:
            continue
        path = Path(place)
        names = [name for name in archive.files if name.startswith(f"{folder}/")]
        if len(names) != 1 or archive.files[names[0]].sha256 != sha256:
            raise StoreError("bundle_incomplete", name=f"{folder}/")
        if not path.is_file():
            undo.callback(_drop, path)
            write_bytes(path, archive.read(names[0]))
            added.append(path)
    return added


def _drop(path: Path) -> None:
    path.unlink(missing_ok=True)
    with suppress(OSError):  # another file with the same content came meanwhile
        path.parent.rmdir()


def _write_study(folder: Path, study: Study, archive: Archive) -> None:
    """Write a study's settings, card and rows."""
    with understood(CARD):
        card = card_from_dict(json.loads(archive.read(CARD)))
        _require(card.task == study.task and card.texts is archive.manifest.with_data)
    write_bytes(folder / STUDY, study.to_toml().encode())
    write_json(folder / CARD, card.to_dict())
    rows = ROWS if archive.manifest.with_data else BARE_ROWS
    write_bytes(folder / rows, archive.read(rows))


def _config(store: Store, study_id: str, study: Study, run: BundledRun) -> dict[str, Any]:
    """Return what a run is asked here: nothing of it is taken from the bundle but arm and seed."""
    return {
        "study_id": study_id,
        "study": study.to_dict(),
        "arm": run.arm,
        "arm_index": study.arm_names().index(run.arm),
        "seed": run.seed,
        "hub_access": store.hub_access(),
    }


def _write_run(folder: Path, config: dict[str, Any], run: BundledRun, archive: Archive) -> None:
    """Write a run's result, predictions and, where they came, tuned weights."""
    write_json(folder / "config.json", config)
    content = archive.read(f"runs/{run.id}/{RESULT}")
    with understood(RESULT):
        found = json.loads(content)
        result = {"asked": config, **{name: found[name] for name in ("measured", "conditions")}}
    write_json(folder / RESULT, result)
    write_bytes(folder / PREDICTIONS, archive.read(f"runs/{run.id}/{PREDICTIONS}"))
    for name in WEIGHTS:
        listed = f"runs/{run.id}/{name}"
        if listed not in archive.files:
            continue
        write_bytes(folder / name, archive.read(listed))
        with understood(name):
            if name.endswith(".json"):
                json.loads((folder / name).read_text("utf-8"))
            else:
                _require_tensors(folder / name)


def _require_tensors(path: Path) -> None:
    try:
        with safe_open(path, "numpy"):
            pass
    except SafetensorError as error:
        raise ValueError(path.name) from error


def _register(
    store: Store, study_id: str, ids: dict[str, str], study: Study, manifest: Manifest
) -> None:
    arms = study.named_arms()
    with store.connect(exclusive=True) as db:
        db.execute(
            "INSERT INTO studies VALUES (?, 'started', ?, ?, ?)",
            (study_id, manifest.created_at, json.dumps(study.to_dict()), study.fingerprint()),
        )
        db.executemany(
            "INSERT INTO runs (id, kind, key, status, study_id, arm, method, seed, position,"
            " created_at, started_at, finished_at) VALUES (?, 'run', ?, 'finished', ?, ?, ?, ?,"
            " (SELECT COALESCE(MAX(position), 0) + 1 FROM runs), ?, ?, ?)",
            [
                (
                    ids[run.id],
                    f"run:{study_id}/{run.arm}/{run.seed}",
                    study_id,
                    run.arm,
                    arms[run.arm].method,
                    run.seed,
                    run.created_at,
                    run.started_at,
                    run.finished_at,
                )
                for run in manifest.runs
            ],
        )


def _forget(store: Store, study_id: str) -> None:
    with store.connect() as db:
        db.execute("DELETE FROM studies WHERE id = ?", (study_id,))


def _check(store: Store, study_id: str, study: Study) -> None:
    """Read everything as the pages will; raises where something is not as a worker writes it."""
    rows = store.rows(study_id, need_texts=False)
    _require({"row", "part", *INPUTS[study.task][:1], TARGETS[study.task]} <= {*rows.columns})
    _require(good_card(store.card(study_id)))
    _require(all(good_run(run, study.task) for run in store.finished_runs(study_id)))


def _require(good: object) -> None:
    if not good:
        raise ValueError
