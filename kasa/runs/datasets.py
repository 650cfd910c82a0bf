"""The files that people brought: which there are, and deleting one with all that came from it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kasa.errors import StoreError
from kasa.runs.files import read_json, remove_folders
from kasa.runs.records import StudyRecord
from kasa.runs.store import Store


@dataclass(frozen=True)
class Dataset:
    """A file kept in the workspace under its SHA-256, and the studies that use it."""

    sha256: str
    files: tuple[Path, ...]
    num_bytes: int
    studies: tuple[StudyRecord, ...]

    @property
    def name(self) -> str:
        """The file's own name; the first where it came under several."""
        return self.files[0].name


@dataclass(frozen=True)
class Deleted:
    """What went: file names, studies by title, and the numbers of runs and of bytes."""

    files: tuple[str, ...]
    studies: tuple[str, ...]
    num_runs: int
    num_bytes: int


def datasets(store: Store) -> list[Dataset]:
    """Return every dataset, the newest first."""
    folders = [place for place in (store.home / "datasets").glob("*") if place.is_dir()]
    studies = store.studies()
    found = [_dataset(folder, studies) for folder in folders]
    kept = [each for each in found if each.files]
    return sorted(kept, key=lambda each: -max(file.stat().st_mtime for file in each.files))


def delete_dataset(store: Store, sha256: str) -> Deleted:
    """Delete a dataset, the studies on it (drafts too), their runs, and probes made with it.

    Raises `StoreError` for an unknown one, while a run of such a study is active, where another
    program holds a file, and, after the deletion, where the log could not take it. The log keeps
    file names and SHA-256.
    """
    found = next((each for each in datasets(store) if each.sha256 == sha256), None)
    if found is None:
        raise StoreError("no_such_dataset", dataset=sha256)
    probes = _probes(store, sha256)
    runs = [run for study in found.studies for run in store.runs(study.id)]
    active = {run.id for run in store.active_runs()}
    if active & {*probes, *(run.id for run in runs)}:
        raise StoreError("dataset_active", name=found.name)
    folders = [store.run_folder(run.id) for run in runs] + [store.run_folder(p) for p in probes]
    folders += [store.study_folder(study.id) for study in found.studies]
    size = found.num_bytes + sum(_size(folder) for folder in folders)
    store.ledger.note("dataset_deletion", sha256=sha256, files=[file.name for file in found.files])
    for study in found.studies:
        store.remove_study(study.id)
    for run_id in probes:
        store.delete_job(run_id)
    remove_folders([store.home / "datasets" / sha256])
    with suppress(StoreError):  # another process holds the database; all rows are gone already
        store.scrub()
    done = Deleted(
        files=tuple(file.name for file in found.files),
        studies=tuple(study.study.title for study in found.studies),
        num_runs=len(runs) + len(probes),
        num_bytes=size,
    )
    store.ledger.deleted(
        "dataset_deleted",
        sha256=sha256,
        files=list(done.files),
        studies=[study.id for study in found.studies],
        runs=done.num_runs,
        bytes=size,
    )
    return done


def _dataset(folder: Path, studies: list[StudyRecord]) -> Dataset:
    files = tuple(sorted(file for file in folder.iterdir() if file.is_file()))
    users = tuple(s for s in studies if folder.name in _sources(s))
    return Dataset(folder.name, files, sum(file.stat().st_size for file in files), users)


def _sources(record: StudyRecord) -> set[str]:
    data = record.study.data
    places = [Path(path).parent.name for path in (data.path, data.test_path) if path]
    return {*places, *(digest for digest in (data.sha256, data.test_sha256) if digest)}


def _probes(store: Store, sha256: str) -> list[str]:
    """Return the estimates made with a dataset: they hold its name and columns."""
    found = []
    for file in (store.home / "runs").glob("*/config.json"):
        try:
            config = read_json(file) or {}
        except StoreError:  # damaged: it tells of no dataset
            continue
        study = config.get("study")
        data = study.get("data", {}) if isinstance(study, dict) else {}
        used = sha256 in {data.get("sha256"), data.get("test_sha256")}
        if used and "study_id" not in config:
            found.append(file.parent.name)
    return found


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
