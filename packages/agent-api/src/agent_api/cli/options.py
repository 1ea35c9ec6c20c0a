"""Options that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="local:NAME, local:/path/to.gguf or openai:NAME.", show_default=False),
]
BaseUrl = Annotated[
    str | None, typer.Option(help="Where an openai: model is served, with /v1.", show_default=False)
]
Workspace = Annotated[
    str | None, typer.Option(help="The folder that the file tools may read.", show_default=False)
]
DataDir = Annotated[str | None, typer.Option(help="Where journals and weights are kept.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]


class Form(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    PARQUET = "parquet"
