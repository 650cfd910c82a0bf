"""A quality system's export, as a person in Japan brings it: from upload to a clean split."""

from __future__ import annotations

import io
from datetime import date, timedelta

import openpyxl
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.studio import Server, Visitor

DEFECTS = {
    "キズ": ("表面に長いすり傷あり", "側面に線状の傷を確認"),
    "へこみ": ("角部が打痕によりへこんでいる", "搬送時の衝突でつぶれている"),
    "汚れ": ("油の付着が見られる", "黒い異物が混入している"),
}
PLACES = ("第一工程の出口", "最終検査台", "洗浄後の確認", "組立ライン脇", "出荷前の抜き取り")
CAUSES = {
    "2025年4月": (
        "治具の締め付け不足が疑われる", "作業者の交代直後に発生", "原因は調査中", "前回も同じ位置",
        "材料ロットを切り替えた後から増加", "搬送ローラーの摩耗を確認", "軽微なため手直し済み",
        "顧客からの指摘で判明", "温度が高い時間帯に集中",
    ),
    "2025年7月": (
        "清掃周期を見直す予定", "金型の洗浄で解消", "新人の担当時間帯", "梱包材との接触による",
        "検査基準の境界にあり判断が割れた", "再現せず経過を観察", "同日に三件続いた",
        "部品メーカーへ連絡済み", "写真を添付して報告",
    ),
}  # fmt: skip
HEADER = ["発生日", "設備", "所見", "不良区分"]


def records(count: int, month: str) -> list[list[object]]:
    rows: list[list[object]] = []
    for k in range(count):
        label = list(DEFECTS)[k % 3]
        words = DEFECTS[label][k // 3 % 2]
        day = date(2025, int(month[5:-1]), 1) + timedelta(days=k)
        note = f"{PLACES[k % 5]}で{words}。{CAUSES[month][k % 9]}。"
        rows.append([day, f"{k % 5 + 1}号機", note, label])
    return rows


def workbook() -> bytes:
    """A title, who exported it, a blank row, the header, rows with three kinds of problems."""
    rows = records(90, "2025年4月")
    for k in range(0, 30, 3):
        rows[k][3] = "ｷｽﾞ"  # half-width kana of キズ
    rows[11][2] = None
    rows[20][2:] = rows[19][2:]
    rows[25][2] = "担当 yamada.taro@example.co.jp に連絡済み。表面に深い傷あり。"
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["外観検査　不良記録（２０２５年度）"])
    sheet.append(["出力者：品質保証課"])
    sheet.append([])
    sheet.append(HEADER)
    for row in rows:
        sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def second_file() -> bytes:
    """The next month's records from another system: CSV in CP932 with a title row."""
    lines = ["外観検査（追加分）,,,", ",".join(HEADER)]
    lines += [",".join(map(str, row)) for row in records(45, "2025年7月")]
    return ("\r\n".join(lines) + "\r\n").encode("cp932")


def test_from_an_excel_and_csv_pair_to_a_clean_split(own_studio: Server, visit: Visit) -> None:
    server = own_studio
    visitor = visit(server, "ja-JP")
    visitor.open("data", "ja")
    visitor.key("data_source").locator("label").last.click()
    visitor.settle()
    visitor.upload("不良記録.xlsx", workbook())
    body = visitor.page.get_by_test_id("stMain")
    expect(body).to_contain_text("90行・4列")
    expect(body).to_contain_text("見出しより上にある表題や空行（3行）")
    for role, column in {"text": "所見", "label": "不良区分"}.items():
        field = visitor.page.locator(f"[class*=st-key-data_{role}_]").get_by_role("combobox")
        expect(field.first).to_have_value(column)
    for kind in ("label_variants", "empty_text", "duplicate", "personal_data"):
        expect(visitor.key(f"data_problem_{kind}")).to_be_visible()
    visitor.key("data_split_way").locator("label").last.click()
    visitor.settle()
    file = {"name": "追加分.csv", "mimeType": "text/csv", "buffer": second_file()}
    visitor.key("data_test_upload").locator("input[type=file]").set_input_files(file)
    visitor.page.wait_for_timeout(300)
    visitor.settle()
    expect(body).to_contain_text("45行")
    show(visitor, "label_variants")
    visitor.click("data_save")
    expect(visitor.key("next_step")).to_be_visible()
    (record,) = server.store.studies()
    data = record.study.data
    assert (data.text, data.label, data.fixes, data.mask) == ("所見", "不良区分", None, True)
    assert data.test_path is not None
    assert data.test_path.endswith("追加分.csv")
    server.store.start_study(record.id)
    for run in server.store.runs(record.id):
        server.store.stop(run.id)
    rows, card = server.store.rows(record.id), server.store.card(record.id)
    assert set(rows["label"]) == {"キズ", "へこみ", "汚れ"}
    assert card.sizes["test"] == 45
    assert {p.kind: p.treatment for p in card.problems} == {
        "label_variants": "changed",
        "personal_data": "kept",
        "empty_text": "left_out",
        "duplicate": "left_out",
        "group_leak": "kept",
    }


def show(visitor: Visitor, kind: str) -> None:
    """Open a problem and see its reason, its switch and its rows before and after."""
    problem = visitor.key(f"data_problem_{kind}")
    changes = problem.get_by_test_id("stDataFrame").first
    for _ in range(4):  # a page just redrawn may swallow a click
        problem.locator("summary").click()
        visitor.settle()
        if changes.is_visible():
            break
    expect(changes).to_be_visible()
    expect(problem.get_by_test_id("stCheckbox")).to_be_visible()
