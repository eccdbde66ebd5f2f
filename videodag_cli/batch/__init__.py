"""Many videos: finding them, deciding what each needs, running them side by side, and keeping account in `batch.json`."""
