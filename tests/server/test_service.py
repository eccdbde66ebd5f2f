"""Jobs over HTTP, with a real server process over loopback; right values come from the command line."""

from __future__ import annotations

import csv
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.commands import call, command
from tests.services import CLIP, Server, on_command_line, served

pytestmark = [pytest.mark.slow, pytest.mark.waits]

FORM = "multipart/form-data; boundary=b"


def word(answer: httpx.Response, status: int) -> str:
    """The stable word of a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["type"] == f"urn:videodag:error:{found['word']}"
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return str(found["word"])


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


@pytest.mark.every_queue
def test_a_job_has_the_bytes_of_the_command_line(server: Server) -> None:
    options = {"frame_stride": 3, "start": "0.4", "end": "200f", "max_frames": 30, "set": {"mean.scale": 2}}
    job_id = server.accepted("count", options=options, name="../../etc/pass wd.mp4")
    job = server.over(job_id)
    assert (job["status"], job["exit_code"], job["error"]) == ("completed", 0, None)
    assert job["file_name"] == "pass wd.mp4"
    right = on_command_line(
        server,
        "count",
        "--frame-stride",
        "3",
        "--start",
        "0.4",
        "--end",
        "200f",
        "--max-frames",
        "30",
        "--set",
        "mean.scale=2",
    )
    assert server.lines(job_id) == right
    assert job["results"] == [json.loads(line) for line in right.splitlines()]
    assert job["summary"]["accounting"]["sampled"] == job["lines"] == 30
    assert job["progress"]["frames_done"] == job["progress"]["frames_expected"] == 30
    assert str(server.data) not in json.dumps(job)


def test_a_job_says_the_pipeline_as_it_was_named(server: Server) -> None:
    """Another one of the same id may come first on a command line."""
    job = server.over(server.accepted("builtin:quality", options={"max_frames": 1}))
    assert job["pipeline_id"] == "builtin:quality"
    assert job["summary"]["pipeline"]["id"] == "quality"


def test_without_a_sampling_every_frame_runs(server: Server) -> None:
    job_id = server.accepted("count")
    assert server.over(job_id)["lines"] == len(on_command_line(server, "count").splitlines())


def test_frames_evenly_spaced_with_their_time_on_the_clock(server: Server) -> None:
    job_id = server.accepted("count", options={"num_frames": 7, "clock": "2026-11-25T08:00:00+01:00"})
    assert server.over(job_id)["lines"] == 7
    lines = server.lines(job_id)
    assert lines == on_command_line(server, "count", "--num-frames", "7", "--clock", "2026-11-25T08:00:00+01:00")
    assert json.loads(lines.splitlines()[0])["time"] == "2026-11-25T07:00:00.000000Z"


def test_lines_have_the_timecode_of_the_file(server: Server, tmp_path: Path) -> None:
    """FFmpeg writes the track; 00:01:00;00 and ;01 are numbers that drop-frame counting leaves out."""
    clip = tmp_path / "clip.mov"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=30000/1001"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-frames:v", "4", "-timecode", "00:00:59;28", clip], check=True)
    job_id = server.accepted("count", clip, options={"timecode": True, "clock": "2026-11-25T08:00:00Z"})
    assert server.over(job_id)["status"] == "completed"
    lines = server.lines(job_id)
    assert lines == on_command_line(server, "count", "--timecode", "--clock", "2026-11-25T08:00:00Z", clip=clip)
    found = [json.loads(line)["timecode"] for line in lines.splitlines()]
    assert found == ["00:00:59;28", "00:00:59;29", "00:01:00;02", "00:01:00;03"]
    job = server.over(server.accepted("count", options={"timecode": True}))  # a clip without one
    assert (job["status"], job["error"]["word"]) == ("failed", "input.unsupported")


@pytest.mark.every_queue
def test_failed_frames_are_told(server: Server) -> None:
    job_id = server.accepted("fails", options={"max_frames": 5})
    job = server.over(job_id)
    assert (job["status"], job["exit_code"], job["error"]["word"]) == ("completed", 4, "run.incomplete")
    assert server.lines(job_id) == on_command_line(server, "fails", "--max-frames", "5")


@pytest.mark.every_queue
def test_results_come_in_the_same_request_where_it_asks(server: Server) -> None:
    right = [json.loads(line) for line in on_command_line(server, "count", "--max-frames", "3").splitlines()]
    for headers, options in (({"Prefer": "wait=50"}, {}), ({}, {"sync": True})):
        answer = server.send("count", options={"max_frames": 3, **options}, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["results"] == right
    answer = server.send("slow", headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    server.http.delete(answer.headers["location"])


@pytest.mark.every_queue
def test_an_input_that_is_refused_says_why(server: Server) -> None:
    cut = CLIP.read_bytes()[:3000]
    answer = server.send("count", cut, headers={"Prefer": "wait=50"})
    assert word(answer, 422) == "input.no_frames"
    job = server.job(answer.json()["job_id"])
    assert (job["status"], job["exit_code"], job["error"]["word"]) == ("failed", 3, "input.no_frames")
    assert word(server.http.get(f"/video/jobs/{job['job_id']}/results"), 409) == "service.unfinished"


@pytest.mark.parametrize(
    ("options", "field", "told"),
    [
        ({"frame_stide": 5}, "options.frame_stide", "unknown"),
        ({"frame_stride": 0}, "options.frame_stride", "whole number from 1"),
        ({"num_frames": 5, "start": "1s"}, "options", "spreads over the whole video"),
        ({"num_frames": 2.5}, "options.num_frames", "valid integer"),
        ({"clock": "8 o'clock"}, "options.clock", "with its zone"),
        ({"clock": "name:*_%Y%m%d"}, "options.clock", "the instant itself"),
        ({"frame_stride": 2, "keyframes": True}, "options", "contradict"),
        ({"every": "x"}, "options", "length of time"),
        ({"set": {"mean.scale": -1}}, "options.set", "greater than 0"),
        ({"set": {"nobody.scale": 1}}, "options.set", "unknown node"),
        ("[1]", "options", "JSON object"),
        ("{", "options", "not valid JSON"),
        ('{"frame_stride": NaN}', "options", "not valid JSON"),
    ],
)
def test_wrong_options_name_the_field(server: Server, options: Any, field: str, told: str) -> None:
    answer = server.send("count", options=options)
    assert word(answer, 422) in ("usage", "param.invalid")
    assert answer.json()["field"] == field
    assert told in answer.json()["detail"]


@pytest.mark.parametrize("value", ["/etc/passwd", "../secret.onnx", "x.onnx"])
def test_a_request_names_no_file_of_the_server(server: Server, value: str) -> None:
    answer = server.send("builtin:people", options={"set": {"people.model": value}})
    assert word(answer, 422) == "usage"
    assert "names a file" in answer.json()["detail"]


def test_what_cannot_be_run_is_refused(server: Server) -> None:
    before = {path.name for path in (server.data / "jobs").iterdir()}
    assert word(server.send("nobody"), 404) == "pipeline.unknown"
    assert word(server.send(str(server.pipelines / "count.json")), 404) == "pipeline.unknown"
    assert word(server.send("../pipelines/count"), 404) == "pipeline.unknown"
    assert word(server.send(None), 422) == "usage"
    assert word(server.send("count", b"PK\x03\x04" + bytes(3000)), 415) == "input.not_mp4"
    assert word(server.send("count", b"#EXTM3U\nfile:///etc/passwd\n"), 415) == "input.not_mp4"
    assert word(server.send("count", b""), 415) == "input.not_mp4"
    assert word(server.send("count", CLIP.read_bytes() + bytes(9 << 20)), 413) == "input.limit"
    assert word(server.http.post("/video/upload-and-run", data={"pipeline_id": "count"}), 415) == "service.form"
    part = b'--b\r\nContent-Disposition: form-data; name="pipeline_id"\r\n\r\ncount\r\n'
    for body, status in (
        (part, 400),
        (part + b"--b--\r\n", 422),
        (part + part, 422),
        (b"nonsense", 400),
        (b'--b\r\nContent-Disposition: form-data; name="frame_stride"\r\n\r\n5\r\n--b--\r\n', 422),
        (b'--b\r\nContent-Disposition: form-data; name="options"\r\n\r\n\xff\r\n--b--\r\n', 422),
    ):
        answer = server.http.post("/video/upload-and-run", content=body, headers={"content-type": FORM})
        assert word(answer, status) in ("service.form", "usage")
    assert {path.name for path in (server.data / "jobs").iterdir()} == before
    assert not list((server.data / "uploads").iterdir())


@pytest.mark.parametrize(
    ("pipeline", "declared", "status", "expected"),
    [("nobody", 1 << 20, 404, "pipeline.unknown"), ("count", 10 << 30, 413, "input.limit")],
)
def test_an_upload_is_refused_before_it_is_read(
    server: Server, pipeline: str, declared: int, status: int, expected: str
) -> None:
    """The client has sent the first field, and waits before it sends the file that it declares."""
    host, _, port = server.address.removeprefix("http://").rpartition(":")
    form = f'--b\r\nContent-Disposition: form-data; name="pipeline_id"\r\n\r\n{pipeline}\r\n--b\r\n'
    head = f"POST /video/upload-and-run HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM}\r\nContent-Length: {declared}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall((head + form).encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["word"]) == (status, expected)


@pytest.mark.every_queue
def test_a_key_makes_one_job(server: Server) -> None:
    first = server.accepted("count", options={"max_frames": 2}, headers={"Idempotency-Key": "a-b"})
    again = server.accepted("count", options={"max_frames": 2}, headers={"Idempotency-Key": "a-b"})
    other = server.accepted("count", options={"max_frames": 2}, headers={"Idempotency-Key": "a-c"})
    assert first == again != other
    clip = CLIP.read_bytes()
    for pipeline, file, frames in (("count", clip, 3), ("slow", clip, 2), ("count", clip + b"0", 2)):
        answer = server.send(pipeline, file, options={"max_frames": frames}, headers={"Idempotency-Key": "a-b"})
        assert word(answer, 422) == "usage"
        assert answer.json()["field"] == "Idempotency-Key"
    assert not list((server.data / "uploads").iterdir())


def test_results_by_pages_ranges_and_as_tables(server: Server) -> None:
    job_id = server.accepted("count")
    server.over(job_id)
    right = on_command_line(server, "count")
    listed = [json.loads(line) for line in right.splitlines()]
    found: list[Any] = []
    address: str | None = f"/video/jobs/{job_id}/results?limit=37"
    while address:
        page = server.http.get(address).json()
        assert page["total"] == len(listed)
        found += page["results"]
        address = page["next"]
    assert found == listed
    address = f"/video/jobs/{job_id}/results"
    part = server.http.get(address, params={"format": "jsonl"}, headers={"range": "bytes=10-99"})
    assert (part.status_code, part.content) == (206, right[10:100])
    lines = right.splitlines(keepends=True)
    part = server.http.get(address, params={"format": "jsonl", "offset": 120, "limit": 9})
    assert part.content == b"".join(lines[120:129])
    rows = list(csv.DictReader(io.StringIO(server.http.get(address, headers={"accept": "text/csv"}).text)))
    assert [int(row["frame_index"]) for row in rows] == [line["frame_index"] for line in listed]
    assert {row["source"] for row in rows} == {"clip.mp4"}
    assert server.http.get(address, params={"offset": 10**15}).json()["results"] == []
    assert word(server.http.get(address, params={"limit": 0}), 422) == "usage"


def test_the_video_comes_in_ranges(server: Server) -> None:
    job_id = server.accepted("count", options={"max_frames": 1})
    address, right = f"/video/jobs/{job_id}/video", CLIP.read_bytes()
    answer = server.http.get(address)
    assert (answer.content, answer.headers["content-type"]) == (right, "video/mp4")
    part = server.http.get(address, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, right[100:200])


@pytest.mark.every_queue
def test_events_tell_the_progress_to_the_end(server: Server) -> None:
    job_id = server.accepted("slow", options={"max_frames": 30})
    with server.http.stream("GET", f"/video/jobs/{job_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer.read().decode())
    assert found[-1]["status"] == "completed"
    done = [event["progress"]["frames_done"] for event in found]
    assert done == sorted(done)
    assert {"running", "completed"} <= {event["status"] for event in found}
    assert any(0 < count < 30 for count in done), done


@pytest.mark.every_queue
def test_a_running_job_is_cancelled_and_then_removed(server: Server) -> None:
    job_id = server.accepted("slow")
    server.wait_until(job_id, frames=1)
    assert server.http.delete(f"/video/jobs/{job_id}").json()["cancelling"]
    assert server.over(job_id, within_s=10)["status"] == "cancelled"
    assert not (server.data / "jobs" / job_id).exists()
    assert server.http.delete(f"/video/jobs/{job_id}").status_code == 204
    assert word(server.http.get(f"/video/jobs/{job_id}"), 404) == "service.unknown"
    assert word(server.http.delete(f"/video/jobs/{job_id}"), 404) == "service.unknown"


@pytest.mark.every_queue
def test_jobs_are_listed_newest_first(server: Server) -> None:
    made = [server.accepted("count", options={"max_frames": 1}) for _ in range(3)]
    found: list[str] = []
    address = "/video/jobs?limit=2"
    while address and len(found) < 6:
        page = server.http.get(address).json()
        found += [job["job_id"] for job in page["jobs"]]
        address = page["next"]
    assert [job for job in found if job in made] == made[::-1]


def test_pipelines_and_tools_are_those_of_the_command_line(server: Server) -> None:
    listed = {item["id"]: item for item in server.http.get("/pipelines").json()}
    assert listed["count"]["outputs"] == ["count", "mean"] or listed["count"]["outputs"] == ["mean", "count"]
    done = call(command("tools", "list", "--json", "--plugins-dir", Path(__file__).parent.parent / "toy_plugins"))
    assert {tool["id"] for tool in server.http.get("/tools").json()} == {tool["id"] for tool in json.loads(done.out)}
    graph = server.http.get("/pipelines/people_tracking").json()["graph"]
    assert {"from_node": "detect", "to_node": "track", "type": "detections"} in graph["links"]
    assert word(server.http.get("/pipelines/nobody"), 404) == "pipeline.unknown"
    assert word(server.http.get("/pipelines/..%2Fcount"), 404) in ("pipeline.unknown", "service.unknown")


@pytest.mark.every_queue
def test_health_and_metrics(server: Server) -> None:
    assert server.http.get("/health/live").json() == {"status": "ok"}
    until = time.monotonic() + 20
    while (answer := server.http.get("/health/ready")).status_code != 200:
        assert time.monotonic() < until, answer.text
    server.over(server.accepted("count", options={"max_frames": 1}))
    text = server.http.get("/metrics").text
    assert re.search(r'^videodag_jobs\{status="completed"\} [1-9]', text, re.MULTILINE)
    assert re.search(
        r'^videodag_http_requests_total\{route="/video/upload-and-run",status="202"\} [1-9]', text, re.MULTILINE
    )


def test_unknown_addresses_and_methods_are_problems(server: Server) -> None:
    assert word(server.http.get("/nothing"), 404) == "service.unknown"
    job_id = server.accepted("count", options={"max_frames": 1})
    for address, allowed in (
        ("/video/jobs", "GET, HEAD"),
        (f"/video/jobs/{job_id}", "DELETE, GET, HEAD"),
        ("/video/upload-and-run", "POST"),
    ):
        for method in ("PUT", "OPTIONS", "PATCH"):
            answer = server.http.request(method, address)
            assert word(answer, 405) == "usage"
            assert answer.headers["allow"] == allowed


def test_head_is_get_without_its_body(server: Server) -> None:
    job_id = server.accepted("count")
    server.over(job_id)
    address = f"/video/jobs/{job_id}"
    for path in (f"{address}/results?format=jsonl", f"{address}/results?format=csv", f"{address}/video"):
        answer, whole = server.http.head(path), server.http.get(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["accept-ranges"] == "bytes"
        assert int(answer.headers["content-length"]) == len(whole.content) > 1000
    for path in (address, f"{address}/results", f"{address}/events", "/video/jobs", "/pipelines", "/health/live", "/"):
        answer = server.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert server.http.head(f"{address}0/video").status_code == 404


def test_ranges_that_are_none_or_beyond_the_end(server: Server) -> None:
    job_id = server.accepted("count", options={"max_frames": 1})
    address, size = f"/video/jobs/{job_id}/video", CLIP.stat().st_size
    for header in ("bytes", "bytes=", "lines=0-3", "bytes=9-3", "bytes=0-1,5-7"):
        answer = server.http.get(address, headers={"range": header})
        assert (answer.status_code, len(answer.content)) == (200, size), header
    answer = server.http.get(address, headers={"range": f"bytes={size}-"})
    assert word(answer, 416) == "usage"
    assert answer.headers["content-range"] == f"bytes */{size}"
    assert server.http.get(address, headers={"range": "bytes=-5"}).content == CLIP.read_bytes()[-5:]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_pages_of_other_sites_are_refused(server: Server, headers: dict[str, str], status: int) -> None:
    assert word(server.send("count", headers=headers), status) == "service.access"


def test_names_of_this_machine_are_answered(server: Server) -> None:
    port = server.address.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert server.http.get("/video/jobs", headers={"host": host}).status_code == 200
    own = {"origin": server.address, "sec-fetch-site": "same-origin"}
    assert server.send("count", options={"max_frames": 1}, headers=own).status_code == 202


def test_a_token_opens_everything_and_nothing_is_open_without_it(tmp_path: Path) -> None:
    with served(tmp_path, "--jobs", "0", token="s3cret") as server:
        job_id = server.accepted("count")
        closed = [f"/video/jobs/{job_id}{rest}" for rest in ("", "/results", "/video", "/events")]
        closed += ["/video/jobs", "/pipelines", "/pipelines/count", "/tools", "/metrics"]
        with httpx.Client(base_url=server.address, trust_env=False) as stranger:
            for path in closed:
                answer = stranger.get(path)
                assert word(answer, 401) == "service.access"
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert stranger.get(path, headers={"authorization": "Bearer s3cre"}).status_code == 401
            assert stranger.delete(f"/video/jobs/{job_id}").status_code == 401
            assert stranger.get("/health/live").status_code == 200
            assert stranger.post("/session", json={"token": "wrong"}).status_code == 401
            answer = stranger.post("/session", json={"token": "s3cret"})
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
            assert "s3cret" not in cookie
            assert stranger.get("/video/jobs").status_code == 200
            assert stranger.get(f"/video/jobs/{job_id}/video").status_code == 200
        waiting = server.job(job_id)
        assert (waiting["status"], waiting["jobs_ahead"]) == ("queued", 0)
        assert server.http.delete(f"/video/jobs/{job_id}").json()["status"] == "cancelled"
        assert not list((server.data / "jobs").iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--host", "0.0.0.0"), "usage", "VIDEODAG_TOKEN"),
        (("--queue", "http://x"), "usage", "redis://"),
        (("--queue", "redis://host:99999/0"), "usage", "redis://"),
        (("--max-upload", "many"), "usage", "--max-upload"),
        (("--host", "203.0.113.1", "--insecure"), "output.failed", "203.0.113.1"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, arguments: tuple[str, ...], code: str, told: str) -> None:
    done = call(command("serve", "--port", "0", "--data-dir", tmp_path / "data", *arguments))
    assert done.word == code
    assert told in done.error


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = call(command("serve", "--port", port, "--data-dir", tmp_path / "data"))
    assert (done.code, done.word) == (6, "output.failed")
    assert f"127.0.0.1:{port}" in done.error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_also_when_it_comes_twice(tmp_path: Path, number: signal.Signals) -> None:
    with served(tmp_path, "--jobs", "1") as server:
        job_id = server.accepted("slow", options={"max_frames": 30})
        server.wait_until(job_id, frames=1)
        server.process.send_signal(number)
        server.process.send_signal(number)
        assert server.process.wait(30) == 0
        assert server.process.stderr is not None
        assert b"Traceback" not in server.process.stderr.read()
    with served(tmp_path, "--jobs", "1") as server:
        assert server.over(job_id)["status"] == "completed"
        assert server.lines(job_id) == on_command_line(server, "slow", "--max-frames", "30")


@pytest.mark.every_queue
def test_two_servers_do_not_share_a_folder(server: Server) -> None:
    assert call(command("serve", "--port", "0", "--data-dir", server.data)).word == "output.locked"


def test_jobs_share_what_costly_tools_found(tmp_path: Path) -> None:
    with served(tmp_path, "--cache", str(tmp_path / "kept")) as server:
        first, second = (server.accepted("builtin:codes", options={"max_frames": 3}) for _ in range(2))
        lines = [server.lines(job_id) for job_id in (first, second) if server.over(job_id)]
        plain = call(command("run", "-q", "-p", "builtin:codes", "--max-frames", "3", CLIP))
        assert lines == [plain.out] * 2
    assert "codes.read" in call(command("cache", "info", tmp_path / "kept")).text
