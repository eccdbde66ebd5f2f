"""`python -m videodag_cli` is the command `videodag`."""

from videodag_cli.cli.app import main

if __name__ == "__main__":
    main()
