"""Runs outlive clicks, tabs, servers and workers: started twice, killed, and started again."""

from __future__ import annotations

from pathlib import Path

import psutil
from playwright.sync_api import Locator, expect

from kasa.arms import Arm
from kasa.runs.store import Store
from kasa.study import Protocol
from tests.browser.conftest import Visit
from tests.browser.studio import Server, Visitor, wait_for
from tests.small_studies import small_study


def make_draft(store: Store, folder: Path, num_seeds: int = 1, arm: str = "tfidf") -> str:
    folder.mkdir(exist_ok=True)
    protocol = Protocol("quick", seeds=tuple(range(num_seeds)))
    study = small_study(folder, (Arm(arm),), protocol)
    return store.create_study(store.settled(study))


def statuses(store: Store, study_id: str) -> list[str]:
    return [run.status for run in store.runs(study_id)]


def start_button(visitor: Visitor) -> Locator:
    return visitor.key("start").get_by_role("button")


def test_start_pressed_twice_and_in_two_tabs_makes_one_set_of_runs(
    studio: Server, visit: Visit, tmp_path: Path
) -> None:
    store, study_id = studio.store, make_draft(studio.store, tmp_path, num_seeds=2)
    first, second = (visit(studio).open("experiment", "en", study_id) for _ in range(2))
    # No waiting in between: both tabs are at it while the first start still writes.
    start_button(first).dblclick()
    start_button(second).click(force=True, no_wait_after=True)
    for visitor in (first, second):
        expect(visitor.page.get_by_text("runs have ended")).to_be_visible()
    assert len(store.runs(study_id)) == 2
    wait_for(lambda: statuses(store, study_id) == ["finished"] * 2, "both runs")
    for visitor in (first, second):
        expect(visitor.page.get_by_text("2 of 2 runs have ended")).to_be_visible()
        expect(visitor.key("next_step")).to_be_visible()  # it came by itself
    assert len(list((studio.home / "runs").glob("*/result.json"))) >= 2
    assert len(store.runs(study_id)) == 2


def test_a_run_outlives_its_server_and_a_new_one_shows_it(
    own_studio: Server, visit: Visit, tmp_path: Path
) -> None:
    store = own_studio.store
    study_id = make_draft(store, tmp_path, num_seeds=3)
    visitor = visit(own_studio).open("experiment", "en", study_id)
    start_button(visitor).click()
    wait_for(lambda: "running" in statuses(store, study_id), "the first run")
    own_studio.kill()
    wait_for(lambda: statuses(store, study_id) == ["finished"] * 3, "runs without a server", 90)
    own_studio.start()
    again = visit(own_studio).open("experiment", "en", study_id)
    expect(again.page.get_by_text("3 of 3 runs have ended")).to_be_visible()
    # The page that was open all the while finds the new server by itself.
    expect(visitor.page.get_by_text("3 of 3 runs have ended")).to_be_visible(timeout=40_000)
    visitor.complaints.clear()  # it complained of the server that was gone
    again.click("next_step").title("Results")


def test_a_killed_worker_is_told_with_its_reason_and_can_start_again(
    studio: Server, visit: Visit, tmp_path: Path
) -> None:
    store, study_id = studio.store, make_draft(studio.store, tmp_path, arm="frozen_head")
    visitor = visit(studio).open("experiment", "en", study_id)
    start_button(visitor).click()
    wait_for(lambda: bool(store.runs(study_id)), "the run")
    (run,) = store.runs(study_id)
    wait_for(lambda: store.process(run.id) is not None, "the worker")
    process = store.process(run.id)
    assert process is not None
    psutil.Process(process[0]).kill()
    alert = visitor.page.get_by_test_id("stAlertContentError")
    expect(alert).to_contain_text("Likely cause:", timeout=20_000)
    expect(visitor.page.get_by_text("Failed", exact=True)).to_be_visible()
    assert statuses(store, study_id) == ["failed"]
    visitor.key("retry").get_by_role("button").click()
    wait_for(lambda: statuses(store, study_id) == ["finished"], "the second attempt", 120)
    expect(visitor.page.get_by_text("Finished", exact=True)).to_be_visible()
    expect(alert).to_have_count(0)
    expect(visitor.key("retry")).to_have_count(0)


def test_stop_takes_waiting_runs_out_and_ends_the_working_one(
    studio: Server, visit: Visit, tmp_path: Path
) -> None:
    store, study_id = studio.store, make_draft(studio.store, tmp_path, 3, "lora")
    visitor = visit(studio).open("experiment", "ja", study_id)
    start_button(visitor).click()
    wait_for(lambda: "running" in statuses(store, study_id), "the first run")
    visitor.key("stop").get_by_role("button").click()
    wait_for(lambda: statuses(store, study_id) == ["cancelled"] * 3, "the end of all runs", 90)
    expect(visitor.key("retry")).to_be_visible()
    expect(visitor.key("stop")).to_have_count(0)
