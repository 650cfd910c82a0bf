"""The order of the work: studies that pause and go on, who comes first, and how a stop ends."""

from __future__ import annotations

from kasa.runs.store import Store

# Places back in the queue; there are never so many studies in one.
MOVES = {"front": -1_000_000, "earlier": -1, "later": 1}


def pause(store: Store, study_id: str) -> None:
    """Hold a study back: what waits keeps waiting, and what works stops and waits again.

    Going on, it continues from its last checkpoint.
    """
    with store.connect(exclusive=True) as db:
        db.execute("INSERT OR IGNORE INTO paused_studies VALUES (?)", (study_id,))
        db.execute(
            "INSERT OR IGNORE INTO paused_runs SELECT id FROM runs"
            " WHERE study_id = ? AND status = 'running'",
            (study_id,),
        )
        db.execute(
            "UPDATE runs SET status = 'stopping' WHERE study_id = ? AND status = 'running'",
            (study_id,),
        )


def go_on(store: Store, study_id: str) -> None:
    """Let a paused study's runs be started again; a study that is not paused stays as it is."""
    with store.connect() as db:
        db.execute("DELETE FROM paused_studies WHERE study_id = ?", (study_id,))


def is_paused(store: Store, study_id: str) -> bool:
    """Say whether a study is held back."""
    with store.connect() as db:
        query = "SELECT 1 FROM paused_studies WHERE study_id = ?"
        return db.execute(query, (study_id,)).fetchone() is not None


def stop_waiting(store: Store, study_id: str) -> None:
    """Take a study's waiting runs out of the queue; the one at work goes on to its end."""
    for run in store.runs(study_id):
        if run.status == "queued":
            store.stop(run.id)


def end_stopped(store: Store, run_id: str) -> None:
    """Record that a run has stopped as it was asked to: after a pause it waits again."""
    with store.connect(exclusive=True) as db:
        waits = db.execute(
            "UPDATE runs SET status = 'queued', pid = NULL, pid_created = NULL, started_at = NULL"
            " WHERE id = ? AND status = 'stopping' AND id IN (SELECT run_id FROM paused_runs)",
            (run_id,),
        ).rowcount
        db.execute("DELETE FROM paused_runs WHERE run_id = ?", (run_id,))
    if not waits and store.run(run_id).status != "queued":
        store.mark(run_id, "cancelled")


def waiting_studies(store: Store) -> list[str]:
    """Return the ids of the studies with waiting runs, in the order of the queue."""
    with store.connect() as db:
        rows = db.execute(WAITING).fetchall()
    return list(dict.fromkeys(row["study_id"] for row in rows))


def move(store: Store, study_id: str, places: int) -> None:
    """Move a study's waiting runs that many places back in the queue, or forward if negative.

    A study without waiting runs has no place, and nothing is moved.
    """
    with store.connect(exclusive=True) as db:
        rows = db.execute(WAITING).fetchall()
        order = list(dict.fromkeys(row["study_id"] for row in rows))
        if study_id not in order:
            return
        at = order.index(study_id)
        order.insert(max(0, at + places), order.pop(at))
        moved = sorted(rows, key=lambda row: order.index(row["study_id"]))
        places_before = [row["position"] for row in rows]
        db.executemany(
            "UPDATE runs SET position = ? WHERE id = ?",
            [(place, row["id"]) for place, row in zip(places_before, moved, strict=True)],
        )


WAITING = (
    "SELECT id, study_id, position FROM runs"
    " WHERE kind = 'run' AND status = 'queued' ORDER BY position"
)
