"""Conversions, each read back by the format's own library and compared with the lines."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import duckdb
import motmetrics
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import webvtt
from faster_coco_eval import COCO
from faster_coco_eval.core.mask import encode
from numpy.typing import NDArray

from tests import results_files
from tests.commands import videodag
from tests.results_files import box, line, write
from videodag_cli.convert import convert, parquet
from videodag_cli.errors import InputError, OutputError, RequestError
from videodag_cli.system.files import whole_file
from videodag_cli.vision.boxes import iou_matrix

TABLES = ("frames", "detections", "tracks")


def boxes_of(path: Path, node: str) -> list[tuple[int, dict[str, Any]]]:
    return [
        (item["frame_index"], row)
        for item in results_files.parsed(path)
        for row in (item["result"] or {}).get(node, [])
    ]


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_csv_and_parquet_hold_the_same_rows_in_pandas_and_duckdb(tmp_path: Path, table: Any) -> None:
    sources = [results_files.crossings(), results_files.qualities(), results_files.codes()]
    convert(sources, tmp_path / "t.csv", table=table)
    convert(sources, tmp_path / "t.parquet", table=table)
    frame = pd.read_parquet(tmp_path / "t.parquet", dtype_backend="numpy_nullable")
    by_csv = pd.read_csv(tmp_path / "t.csv", dtype=frame.dtypes.to_dict())
    pd.testing.assert_frame_equal(by_csv, frame)
    from_csv: Any = duckdb.sql(f"select * from read_csv('{tmp_path}/t.csv', header=true, sample_size=-1)")
    from_parquet: Any = duckdb.sql(f"select * from '{tmp_path}/t.parquet'")
    assert from_csv.columns == from_parquet.columns == list(frame.columns)
    kinds = ", ".join(
        f'"{name}"::{kind} as "{name}"' for name, kind in zip(from_parquet.columns, from_parquet.types, strict=True)
    )
    assert from_csv.project(kinds).fetchall() == from_parquet.fetchall()
    assert len(frame) == len(from_parquet.fetchall()) > 0


def test_frames_table_has_one_row_per_line_and_one_column_per_output(tmp_path: Path) -> None:
    convert([results_files.crossings(), results_files.qualities()], tmp_path / "t.parquet")
    found = pd.read_parquet(tmp_path / "t.parquet", dtype_backend="numpy_nullable")
    assert found["source"].value_counts().to_dict() == {
        str(results_files.crossings()): 51,
        str(results_files.qualities()): 21,
    }
    first = found.iloc[0]
    lines = results_files.parsed(results_files.crossings())
    assert first["track.count"] == len(lines[0]["result"]["track"])
    assert first["line.middle.in_count"] == 0
    assert pd.isna(first["brightness"])
    last = found.iloc[-1]
    assert last["brightness"] == results_files.parsed(results_files.qualities())[-1]["result"]["brightness"]
    assert last["camera"] == "north"
    assert not last["black.black"]


def test_failed_frames_are_rows_without_values(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [line(0, {"n": 1.5, "boxes": []}), line(1, None)])
    convert([source], tmp_path / "t.parquet")
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert rows[0] == {
        "source": str(source), "frame_index": 0, "time_s": 0.0, "ok": True, "error_node": None, "error_tool": None,
        "error_type": None, "error_message": None, "n": 1.5, "boxes.count": 0,
    }  # fmt: skip
    assert rows[1]["ok"] is False
    assert (rows[1]["error_node"], rows[1]["error_message"]) == ("read", "no luck")
    assert (rows[1]["n"], rows[1]["boxes.count"]) == (None, None)


def test_detections_are_the_boxes_of_the_lines_with_everything_else_in_extra(tmp_path: Path) -> None:
    convert([results_files.codes()], tmp_path / "t.parquet", table="detections")
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    wanted = boxes_of(results_files.codes(), "codes")
    assert [row["text"] for row in rows] == [f"F{i:06d}" for i in range(120)]
    for row, (index, original) in zip(rows, wanted, strict=True):
        assert row["frame_index"] == index
        assert [row[name] for name in ("x1", "y1", "x2", "y2")] == original["xyxy"]
        extra = {k: v for k, v in original.items() if k not in ("xyxy", "text", "corners")}
        assert json.loads(row["extra"]) == extra
        assert json.loads(row["corners"]) == original["corners"]


def test_column_types_do_not_depend_on_the_data(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.jsonl", [line(0, {"track": []})])
    odd = write(
        tmp_path / "odd.jsonl", [line(0, {"track": [box(1, 2, 3, 4, confidence=1, class_name=5, tracker_id=2**70)]})]
    )
    for table in ("detections", "tracks"):
        schemas = []
        for source in (empty, odd, results_files.crossings()):
            convert([source], tmp_path / "t.parquet", table=table, overwrite=True)
            schemas.append(pq.read_schema(tmp_path / "t.parquet"))
        assert schemas[0] == schemas[1] == schemas[2]
    convert([odd], tmp_path / "t.parquet", table="detections", overwrite=True)
    row = pq.read_table(tmp_path / "t.parquet").to_pylist()[0]
    assert (row["confidence"], row["class_name"], row["tracker_id"]) == (1.0, None, None)
    assert json.loads(row["extra"]) == {"class_name": 5, "tracker_id": float(2**70)}


def test_tracks_have_first_and_last_time_frames_and_mean_confidence(tmp_path: Path) -> None:
    convert([results_files.crossings()], tmp_path / "t.parquet", table="tracks")
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    times = {item["frame_index"]: item["time_s"] for item in results_files.parsed(results_files.crossings())}
    seen: dict[int, list[tuple[int, float]]] = {}
    for index, row in boxes_of(results_files.crossings(), "track"):
        seen.setdefault(row["tracker_id"], []).append((index, row["confidence"]))
    assert [row["tracker_id"] for row in rows] == list(seen)
    for row in rows:
        frames = [index for index, _ in seen[row["tracker_id"]]]
        assert (row["first_frame"], row["last_frame"], row["frames"]) == (frames[0], frames[-1], len(frames))
        assert (row["first_time_s"], row["last_time_s"]) == (times[frames[0]], times[frames[-1]])
        mean = sum(confidence for _, confidence in seen[row["tracker_id"]]) / len(frames)
        assert row["mean_confidence"] == pytest.approx(mean, abs=1e-6)
        assert row["class_name"] == "person"


def test_csv_keeps_commas_quotes_and_newlines_of_texts(tmp_path: Path) -> None:
    text = 'a,"b"\nc\r\u2028é'
    source = write(tmp_path / "a.jsonl", [line(0, {"text": [box(0, 0, 1, 1, text=text)], "on": True})])
    convert([source], tmp_path / "t.csv", table="detections")
    assert pd.read_csv(tmp_path / "t.csv", lineterminator="\n")["text"][0] == text
    convert([source], tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_text().splitlines()[1].endswith(",1,true")


def test_coco_loads_in_faster_coco_eval_with_the_same_boxes(tmp_path: Path) -> None:
    done = convert([results_files.crossings()], tmp_path / "c.json", nodes=["track"])
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "c.json"))
    wanted = boxes_of(results_files.crossings(), "track")
    assert done.count == len(coco.anns) == len(wanted)
    assert len(coco.imgs) == 51
    assert coco.cats == {1: {"id": 1, "name": "person"}}
    for annotation, (index, row) in zip(coco.anns.values(), wanted, strict=True):
        image = coco.imgs[annotation["image_id"]]
        assert (image["frame_index"], image["width"], image["height"]) == (index, 768, 576)
        assert image["file_name"] == f"pedestrians/{index:06d}.jpg"
        x, y, width, height = annotation["bbox"]
        assert [x, y, x + width, y + height] == pytest.approx(row["xyxy"], abs=1e-3)
        assert (annotation["score"], annotation["track_id"]) == (row["confidence"], row["tracker_id"])
    assert len(coco.getAnnIds(catIds=[1])) == len(wanted)


def test_coco_reads_key_points_masks_and_turned_boxes(tmp_path: Path) -> None:
    bits = np.zeros((20, 30), np.uint8)
    bits[4:9, 3:12] = 1
    mask = encode(np.asfortranarray(bits))
    mask = {"size": [20, 30], "counts": mask["counts"].decode()}
    points = [[float(i), 2.0, 0.9 if i else 0.1] for i in range(17)]
    people = [box(0, 0, 20, 10, class_id=0, class_name="person", keypoints=points, presence=0.9, mask=mask)]
    people += [box(0, 0, 9, 9, class_id=0, class_name="person", keypoints=None, presence=0.1, mask=None)]
    turned = box(0, 0, 9, 9, class_id=1, class_name="ship", corners=[[4, 0], [9, 5], [5, 9], [0, 4]])
    source = write(tmp_path / "a.jsonl", [line(0, {"d": [*people, turned]}) | {"size": [30, 20]}])
    convert([source], tmp_path / "c.json")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "c.json"))
    person, ship = coco.cats[1], coco.cats[2]
    assert (person["keypoints"][0], person["keypoints"][16], len(person["skeleton"])) == ("nose", "right_ankle", 19)
    assert ship == {"id": 2, "name": "ship"}
    first, second, third = coco.anns.values()
    assert (coco.annToMask(first) == bits).all()
    assert first["area"] == bits.sum()
    assert first["keypoints"] == [v for i in range(17) for v in (i, 2, 2 if i else 1)]
    assert (first["num_keypoints"], second["num_keypoints"], second["keypoints"]) == (17, 0, [0] * 51)
    assert third["segmentation"] == [[4, 0, 9, 5, 5, 9, 0, 4]]
    assert third["area"] == 40
    assert "keypoints" not in third
    convert([source], tmp_path / "c.csv", table="detections")
    rows = pd.read_csv(tmp_path / "c.csv")
    assert json.loads(rows["keypoints"][0]) == points
    assert json.loads(rows["mask"][0]) == mask
    assert json.loads(rows["corners"][2]) == turned["corners"]
    assert rows["presence"].tolist()[:2] == [0.9, 0.1]


def test_coco_leaves_failed_frames_out_and_says_so(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [line(0, {"d": []}), line(1, None), line(2, {"d": [box(0, 0, 2, 3)]})])
    done = convert([source], tmp_path / "c.json")
    data = json.loads((tmp_path / "c.json").read_text())
    assert [image["frame_index"] for image in data["images"]] == [0, 2]
    assert data["annotations"][0]["bbox"] == [0, 0, 2, 3]
    assert data["categories"] == [{"id": 1, "name": "d"}]
    assert "1 failed frame is not in the images" in done.remarks
    assert any("no run record gives the frame size" in remark for remark in done.remarks)


def test_coco_numbers_categories_by_name_where_class_ids_disagree(tmp_path: Path) -> None:
    cats = write(tmp_path / "a.jsonl", [line(0, {"d": [box(0, 0, 1, 1, class_id=0, class_name="cat")]})])
    dogs = write(tmp_path / "b.jsonl", [line(0, {"d": [box(0, 0, 1, 1, class_id=0, class_name="ant")]})])
    convert([cats, dogs], tmp_path / "c.json")
    data = json.loads((tmp_path / "c.json").read_text())
    assert data["categories"] == [{"id": 1, "name": "ant"}, {"id": 2, "name": "cat"}]
    assert [a["category_id"] for a in data["annotations"]] == [2, 1]
    assert [image["file_name"] for image in data["images"]] == ["a/000000.jpg", "b/000000.jpg"]


def _mota(truth: pd.DataFrame, found: pd.DataFrame) -> float:
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for frame in range(1, 121):
        there, here = (table.loc[table.index.get_level_values(0) == frame] for table in (truth, found))
        distances = 1 - iou_matrix(_corners(there), _corners(here))
        distances[distances > 0.5] = np.nan
        ids = (table.index.get_level_values(1).tolist() for table in (there, here))
        accumulator.update(*ids, distances)
    return float(motmetrics.metrics.create().compute(accumulator, metrics=["mota"]).iloc[0]["mota"])


def _corners(table: pd.DataFrame) -> NDArray[np.float64]:
    found = np.array(table[["X", "Y", "Width", "Height"]], np.float64)
    found[:, 2:] += found[:, :2]
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Operation with tuple")  # motmetrics' own
def test_mot_scores_as_the_lines_do(tmp_path: Path) -> None:
    """The truth of the synthetic clip, shaken and with every seventh box lost, as lines."""
    columns = ["X", "Y", "Width", "Height"]
    truth = motmetrics.io.loadtxt(results_files.CLIPS / "synthetic.mot.txt", fmt="mot15-2D")
    random = np.random.default_rng(5)
    rows: dict[int, list[dict[str, Any]]] = {index: [] for index in range(120)}
    for rank, ((frame, track), values) in enumerate(truth[columns].iterrows()):
        if rank % 7:
            x, y = values["X"] + random.integers(-9, 9) / 4, values["Y"] + random.integers(-9, 9) / 4
            shaken = box(x, y, x + values["Width"], y + values["Height"], confidence=0.5, tracker_id=int(track))
            rows[frame - 1].append(shaken)
    source = write(tmp_path / "a.jsonl", [line(index, {"track": found}) for index, found in rows.items()])
    convert([source], tmp_path / "m.txt")
    converted = motmetrics.io.loadtxt(tmp_path / "m.txt", fmt="mot15-2D")
    direct = pd.DataFrame(
        [
            (
                index + 1,
                row["tracker_id"],
                row["xyxy"][0],
                row["xyxy"][1],
                row["xyxy"][2] - row["xyxy"][0],
                row["xyxy"][3] - row["xyxy"][1],
            )
            for index, found in rows.items()
            for row in found
        ],
        columns=["FrameId", "Id", *columns],
    ).set_index(["FrameId", "Id"])
    # motmetrics moves the coordinates it reads by one pixel, as the challenge counts pixels from 1.
    direct[["X", "Y"]] -= 1
    pd.testing.assert_frame_equal(converted[columns], direct, check_dtype=False)
    assert _mota(truth, converted) == _mota(truth, direct)
    assert 0.5 < _mota(truth, converted) < 0.9


def test_mot_of_a_real_run_has_every_box_with_frames_from_one(tmp_path: Path) -> None:
    convert([results_files.crossings()], tmp_path / "m.txt")
    found = np.loadtxt(tmp_path / "m.txt", delimiter=",")
    wanted = boxes_of(results_files.crossings(), "track")
    assert len(found) == len(wanted)
    assert found[:, 0].tolist() == [index + 1 for index, _ in wanted]
    assert found[:, 1].tolist() == [row["tracker_id"] for _, row in wanted]
    corners = np.concatenate([found[:, 2:4], found[:, 2:4] + found[:, 4:6]], axis=1)
    assert corners == pytest.approx(np.array([row["xyxy"] for _, row in wanted]), abs=1e-3)


def test_mot_and_coco_ask_which_output_when_there_are_several(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [line(0, {"a": [box(0, 0, 1, 1)], "b": {"d": [box(0, 0, 1, 1)]}})])
    for name in ("m.txt", "c.json"):
        with pytest.raises(RequestError, match=r"several outputs \(a, b\.d\); choose with --node"):
            convert([source], tmp_path / name)
        assert convert([source], tmp_path / name, nodes=["b"]).count == 1
        assert not list(tmp_path.glob("*.part"))


def _cues(path: Path) -> list[tuple[str, str, str, str]]:
    captions: Any = webvtt.read(str(path))
    return [(cue.start, cue.end, cue.text, cue.identifier or "") for cue in captions]


def test_vtt_has_the_cuts_at_their_times(tmp_path: Path) -> None:
    convert([results_files.cuts()], tmp_path / "v.vtt", nodes=["content"])
    assert _cues(tmp_path / "v.vtt") == [
        ("00:00:01.600", "00:00:02.600", "content.cut", "content.cut"),
        ("00:00:03.200", "00:00:04.200", "content.cut", "content.cut"),
    ]


def test_vtt_has_each_text_as_long_as_it_was_seen(tmp_path: Path) -> None:
    done = convert([results_files.codes()], tmp_path / "v.vtt")
    cues = _cues(tmp_path / "v.vtt")
    assert done.count == len(cues) == 120
    assert cues[3] == ("00:00:00.120", "00:00:00.160", "F000003", "codes")
    assert cues[-1][:3] == ("00:00:04.760", "00:00:04.800", "F000119")


def test_vtt_has_crossings_of_a_real_run(tmp_path: Path) -> None:
    convert([results_files.crossings()], tmp_path / "v.vtt")
    wanted = [
        f"line.middle.crossings: person {crossing['tracker_id']} {crossing['direction']}"
        for item in results_files.parsed(results_files.crossings())
        for crossing in item["result"]["line"]["middle"]["crossings"]
    ]
    assert [text for _, _, text, _ in _cues(tmp_path / "v.vtt")] == wanted
    assert len(wanted) >= 2


def test_vtt_has_visits_from_entering_to_leaving_also_when_hidden_meanwhile(tmp_path: Path) -> None:
    def visit(entered_s: float, left_s: float | None) -> dict[str, Any]:
        return {
            "tracker_id": 4,
            "class_name": "person",
            "entered_s": entered_s,
            "left_s": left_s,
            "visit_s": 1.0,
            "total_s": 1.0,
        }

    zones: list[dict[str, Any]] = [{"inside": [], "entered": [], "left": []} for _ in range(100)]
    for index in (*range(25, 40), *range(45, 50)):
        zones[index]["inside"] = [visit(1.0, None)]
    zones[50]["left"] = [visit(1.0, 2.0)]
    for index in range(75, 100):
        zones[index]["inside"] = [visit(3.0, None)]
    source = write(tmp_path / "a.jsonl", [line(i, {"dwell": {"door": zone}}) for i, zone in enumerate(zones)])
    convert([source], tmp_path / "v.vtt")
    assert _cues(tmp_path / "v.vtt") == [
        ("00:00:01.000", "00:00:02.000", "dwell.door: person 4", "dwell.door"),
        ("00:00:03.000", "00:00:04.000", "dwell.door: person 4", "dwell.door"),
    ]


def test_vtt_cues_stand_in_the_order_of_their_start_and_hold_any_text(tmp_path: Path) -> None:
    texts = [box(0, 0, 1, 1, text="<b>x --> y</b> & more\nlines")]
    lines = [line(i, {"long": True, "text": texts if i % 10 == 5 else [], "word": "w"}) for i in range(30)]
    lines[20] = line(20, None)
    convert([write(tmp_path / "a.jsonl", lines)], tmp_path / "v.vtt")
    content = (tmp_path / "v.vtt").read_text()
    assert "&lt;b&gt;x --&gt; y&lt;/b&gt; &amp; more\\nlines" in content
    cues = _cues(tmp_path / "v.vtt")
    assert [start for start, *_ in cues] == sorted(start for start, *_ in cues)
    assert [(start, end) for start, end, _, output in cues if output == "word"] == [
        ("00:00:00.000", "00:00:00.800"),
        ("00:00:00.840", "00:00:01.200"),
    ]


def test_an_existing_output_is_kept_unless_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "t.csv"
    target.write_text("mine")
    with pytest.raises(OutputError) as caught:
        convert([results_files.cuts()], target)
    assert (caught.value.word, target.read_text()) == ("output.exists", "mine")
    convert([results_files.cuts()], target, overwrite=True)
    assert target.read_text().startswith("source,")


def test_a_torn_input_leaves_neither_output_nor_part_and_keeps_the_old_file(tmp_path: Path) -> None:
    source = tmp_path / "torn.jsonl"
    source.write_bytes(results_files.cuts().read_bytes()[:-20])
    (tmp_path / "old.csv").write_text("old")
    for name in ("t.csv", "c.json", "m.txt", "v.vtt", "t.parquet", "old.csv"):
        with pytest.raises(InputError, match="torn"):
            convert([source], tmp_path / name, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.csv", "torn.jsonl"]
    assert (tmp_path / "old.csv").read_text() == "old"


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [line(0, {})])
    os.link(source, tmp_path / "b.csv")
    before = source.read_bytes()
    with pytest.raises(OutputError) as caught:
        convert([source], tmp_path / "b.csv", overwrite=True)
    assert caught.value.word == "output.input"
    assert source.read_bytes() == before


def test_a_full_device_a_missing_folder_and_a_folder_have_their_words(tmp_path: Path) -> None:
    words = []
    for target in (Path("/dev/full"), tmp_path / "none" / "t.csv", tmp_path):
        with pytest.raises(OutputError) as caught:
            convert([results_files.cuts()], target, to="csv", overwrite=True)
        words.append(caught.value.word)
    assert words == ["output.full", "output.folder", "output.folder"]


def test_requests_that_make_no_sense_say_what_would(tmp_path: Path) -> None:
    source = results_files.cuts()
    for sources, output, options, said in [
        ([source], "t.xyz", {}, r"does not say which format"),
        ([source], "t.vtt", {"table": "frames"}, "--table is only for csv, parquet and jsonl"),
        ([source, source], "t.vtt", {}, "describes one video"),
        (["-", "-"], "t.csv", {}, "can be read once"),
        ([], "t.csv", {}, "at least one"),
    ]:
        with pytest.raises(RequestError, match=said):
            convert(sources, tmp_path / output, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_reads_and_writes_standard_streams(tmp_path: Path) -> None:
    data = results_files.cuts().read_bytes()
    done = videodag("convert", "-", "-o", "-", "--to", "csv", stdin=data)
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == 121
    convert([results_files.cuts()], tmp_path / "t.csv")
    named = (tmp_path / "t.csv").read_bytes().replace(str(results_files.cuts()).encode(), b"-")
    assert done.out == named
    refused = videodag("convert", "none.jsonl", "-o", tmp_path / "x.csv")
    assert refused.code == 3
    assert refused.err == "videodag: error[input.missing]: none.jsonl: no such file\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "table"),
    [("t.csv", None), ("d.csv", "detections"), ("t.parquet", None), ("c.json", None), ("v.vtt", None)],
)
def test_memory_does_not_grow_with_the_number_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, table: Any
) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 100)
    peaks = []
    for count in (4000, 200, 4000):  # the first fills what Python keeps of freed objects
        lines = (
            line(i, {"track": [box(i % 99, 2, 300, 400, confidence=0.5, text=f"T{i}")] * 2, "n": i / 7})
            for i in range(count)
        )
        source = write(tmp_path / "a.jsonl", lines)
        tracemalloc.start()
        convert([source], tmp_path / name, table=table, overwrite=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert source.stat().st_size > 700_000
    assert peaks[2] - peaks[1] < 150_000


def test_a_second_writer_of_the_same_output_is_refused(tmp_path: Path) -> None:
    with whole_file(tmp_path / "t.csv") as stream:
        stream.write(b"first")
        with pytest.raises(OutputError) as caught:
            convert([results_files.cuts()], tmp_path / "t.csv")
        assert caught.value.word == "output.locked"
    assert (tmp_path / "t.csv").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_part_left_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "t.csv.part").write_text("x" * 100_000)
    convert([results_files.cuts()], tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().startswith("source,")
    assert "x" * 10 not in (tmp_path / "t.csv").read_text()
    assert not (tmp_path / "t.csv.part").exists()
