"""A command line with a command that does nothing."""

import typer

app = typer.Typer()


@app.command("list")
def list_nothing() -> None:
    typer.echo("nothing")


@app.command()
def other() -> None: ...


app()
