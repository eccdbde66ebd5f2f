"""The command `videodag`, which is also `python -m videodag_cli`: a signal that comes while it is loaded ends it as later ones do."""

from videodag_cli.system.loading import end_at_once, on_one_stack, read_names_as_utf8, without_collections


def main() -> None:
    """Entry point of the command `videodag`."""
    end_at_once()
    read_names_as_utf8()
    on_one_stack(_load_and_run)


def _load_and_run() -> None:
    with without_collections():
        from videodag_cli.cli import app

    app.main()


if __name__ == "__main__":
    main()
