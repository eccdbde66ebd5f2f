"""Long counts: kills, damaged clips, full disks, failing system calls, opened files. `python -m tests.soak` runs them."""
