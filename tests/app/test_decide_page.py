from __future__ import annotations

from pathlib import Path

import pytest

from kasa.runs.store import Store
from kasa.verdict.business import case_of, net, total
from kasa.verdict.evidence import gather
from tests.app.visit import checked, open_page, still_store, words
from tests.result_files import draft, finish


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return still_store(monkeypatch)


def finished(store: Store, folder: Path) -> str:
    study_id = draft(store, folder)
    finish(store, study_id)
    return study_id


@pytest.mark.parametrize(
    ("lang", "word", "step"),
    [("en", "Not enough evidence yet", "3 seeds"), ("ja", "まだ判断できない", "シードを3個")],
)
def test_one_seed_is_not_enough(
    store: Store, tmp_path: Path, lang: str, word: str, step: str
) -> None:
    page = open_page("decide", finished(store, tmp_path), lang)
    assert word in words(page)
    assert step in words(page)


def test_a_number_changes_the_costs_and_stays(store: Store, tmp_path: Path) -> None:
    study_id = finished(store, tmp_path)
    page = open_page("decide", study_id)
    before = total(case_of(gather(store, study_id), "kasa-r8"), "three_years")
    page.number_input(key="cost_poc_hours").set_value(140.0).run()
    checked(page)
    assert store.study(study_id).study.operation.poc_hours == 140
    after = total(case_of(gather(store, study_id), "kasa-r8"), "three_years")
    assert after - before == pytest.approx(100 * 4000)


def test_with_a_benefit_there_is_a_net(store: Store, tmp_path: Path) -> None:
    study_id = finished(store, tmp_path)
    page = open_page("decide", study_id)
    assert "have not both been entered" in words(page)
    page.number_input(key="cost_answers_per_year").set_value(500_000.0).run()
    page.number_input(key="cost_benefit_per_correct").set_value(50.0).run()
    checked(page)
    gained = net(case_of(gather(store, study_id), "kasa-r8"), "three_years")
    assert gained is not None
    assert gained > 0
    assert "net" in words(page)


def test_an_own_machine_costs_wear_and_power(store: Store, tmp_path: Path) -> None:
    study_id = finished(store, tmp_path)
    page = open_page("decide", study_id)
    page.toggle(key="cost_owned").set_value(True).run()
    page.number_input(key="cost_purchase").set_value(400_000.0).run()
    page.number_input(key="cost_power_per_kwh").set_value(30.0).run()
    checked(page)
    prices = store.study(study_id).study.prices
    assert prices.hourly == pytest.approx(400_000 / 8000 + 0.15 * 30)
    page.toggle(key="cost_owned").set_value(False).run()
    checked(page)
    assert store.study(study_id).study.prices.purchase is None


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_without_results_the_page_says_what_is_missing(
    store: Store, tmp_path: Path, lang: str
) -> None:
    assert open_page("decide", None, lang).button(key="empty_next")
    assert open_page("decide", draft(store, tmp_path), lang).button(key="empty_next")
