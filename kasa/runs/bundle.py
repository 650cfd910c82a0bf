"""A study as one file: everything another computer needs to show it, its data only where wanted.

A bundle holds settings, results, predictions and the dataset card of the finished runs, with the
data also its rows, its file and the tuned adapters (see `kasa.runs.bundle_parts`). Brought into a
workspace, the study shows the same verdicts and reports. Without its data it shows no row's text
and can be run again where the same data file (by SHA-256) is in the workspace.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kasa.runs.bundle_archive import LeftOut, Manifest, bundled_run, opened, pack
from kasa.runs.bundle_arrival import brought_in, known_here, study_of
from kasa.runs.bundle_parts import bundled_runs, parts
from kasa.runs.files import write_bytes
from kasa.runs.ledger import data_facts
from kasa.runs.store import Store
from kasa.text import LANGUAGES, translator


@dataclass(frozen=True)
class Imported:
    """A study that came with a bundle: its id here, and what came with it.

    `new` is False where an equal study was here already, which then is the one named. `left_out`
    are runs that had not finished where the bundle was made.
    """

    study: str
    title: str
    with_data: bool
    num_runs: int
    left_out: tuple[LeftOut, ...]
    new: bool = True


def write_bundle(store: Store, study_id: str, path: Path, *, with_data: bool) -> Path:
    """Write a started study's bundle in one step, note it in the log, and return the path.

    Raises `StoreError` as `bundle_bytes` does, and where the file cannot be written.
    """
    write_bytes(path, bundle_bytes(store, study_id, with_data=with_data))
    store.ledger.note("bundle_written", study=study_id, with_data=with_data)
    return path


def bundle_bytes(store: Store, study_id: str, *, with_data: bool) -> bytes:
    """Return a started study's bundle, equal for equal studies; nothing is noted in the log.

    Raises `StoreError` for an unknown study, one that was not started, one whose data is wanted but
    not here, and one that is too large.
    """
    record = store.study(study_id)
    whole, others = bundled_runs(store, study_id)
    kind = "with_data" if with_data else "without_data"
    manifest = Manifest(
        study=record.id,
        title=record.study.title,
        created_at=record.created_at.isoformat(),
        with_data=with_data,
        runs=tuple(map(bundled_run, whole)),
        left_out=tuple(LeftOut(str(run.arm), int(run.seed or 0), run.status) for run in others),
        about={lang: translator(lang)(f"bundle.about.{kind}") for lang in LANGUAGES},
    )
    return pack(manifest, parts(store, study_id, with_data=with_data))


def bundle_files(store: Store, study_id: str, *, with_data: bool) -> dict[str, int]:
    """Return the names and bytes of what is in a study's bundle; errors as in `bundle_bytes`."""
    found = parts(store, study_id, with_data=with_data)
    return {name: len(content) for name, content in found}


def read_bundle(store: Store, content: bytes | Path) -> Imported:
    """Bring a bundle's study into the workspace, whole or not at all.

    Study and runs keep their ids; where one is taken here, all get new ones. An equal study that is
    here already is left as it is. Raises `StoreError` for what is no bundle, was damaged or
    changed, holds what does not belong, or cannot be written, and `StudyError` for settings that
    this version does not know.
    """
    with opened(content) as archive:
        manifest, study = archive.manifest, study_of(store, archive)
        known = known_here(store, study, archive)
        study_id = brought_in(store, study, archive) if known is None else known
    if known is None:
        facts = {"runs": len(manifest.runs), "with_data": manifest.with_data}
        store.ledger.note("study_imported", study=study_id, **facts, **data_facts(study.data))
    return Imported(
        study=study_id,
        title=study.title,
        with_data=manifest.with_data,
        num_runs=len(manifest.runs),
        left_out=manifest.left_out,
        new=known is None,
    )
