"""`agent kb`: knowledge bases, which documents are put into and found in again."""

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agent_api.cli import options
from agent_api.cli.visible import visible
from agent_api.exit_codes import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from agent_api.knowledge import KnowledgeBases
    from agent_memory import IngestReport, Progress

T = TypeVar("T")

app = typer.Typer(help="Knowledge bases: documents that are searched.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The knowledge base.")]


def _with(data_dir: str | None, work: "Callable[[KnowledgeBases], Awaitable[T]]") -> T:
    """What `work` gives, over the knowledge bases of the data folder."""
    import anyio

    from agent_api.knowledge import KnowledgeBases
    from agent_api.settings import load

    async def opened() -> T:
        settings = load({"data_dir": data_dir})
        bases = KnowledgeBases(settings.data_path(), at=settings.knowledge_at)
        try:
            return await work(bases)
        finally:
            await bases.aclose()

    return anyio.run(opened)


@app.command()
def add(
    name: Name,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files, folders, archives, web pages.")
    ],
    like: Annotated[
        str,
        typer.Option(
            help="The domain that a new one is cut like: legal, code, finance, ...", show_default="general"
        ),
    ] = "",
    remove_missing: Annotated[
        bool, typer.Option("--remove-missing", help="What is gone from the folders goes from here too.")
    ] = False,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Read documents into a knowledge base; again: only what changed. Broken off, it goes on where it was."""
    origins = [one if one.startswith(("http://", "https://")) else str(Path(one).resolve()) for one in paths]
    show = _Shown(as_json=as_json)

    async def ingest(bases: "KnowledgeBases") -> "IngestReport":
        return await bases.add(
            name, origins, like=like, on_progress=show.progress, remove_missing=remove_missing
        )

    raise typer.Exit(show.report(name, _with(data_dir, ingest)))


@app.command("list")
def list_bases(data_dir: options.DataDir = None, as_json: options.AsJson = False) -> None:
    """The knowledge bases that hold something."""
    import msgspec

    rows = _with(data_dir, lambda bases: bases.bases())
    for one in rows:
        if as_json:
            sys.stdout.write(msgspec.json.encode(one).decode() + "\n")
        else:
            when = datetime.fromtimestamp(one.updated_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
            sys.stdout.write(f"{one.name:<16} {one.sources:>7} sources  {when}  {one.description}\n")
    if not rows and not as_json:
        sys.stderr.write("no knowledge base yet; `agent kb add NAME PATH...` makes one\n")


@app.command()
def search(
    name: Name,
    query: str,
    count: Annotated[int, typer.Option("--count", "-k", min=1, max=100, help="How many passages.")] = 5,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """The passages that answer best, each with where it stands."""
    import msgspec

    for number, one in enumerate(
        _with(data_dir, lambda bases: bases.search(query, k=count, domains=(name,))), 1
    ):
        if as_json:
            sys.stdout.write(msgspec.json.encode(one).decode() + "\n")
            continue
        place = one.citation
        page = f"page {place.page}" if place.page else ""
        where = ", ".join(part for part in (place.source, place.heading, page) if part)
        sys.stdout.write(visible(f"[{number}] {where}\n{one.text}\n\n"))


@app.command()
def show(name: Name, data_dir: options.DataDir = None, as_json: options.AsJson = False) -> None:
    """Every source of a knowledge base."""
    for source in _with(data_dir, lambda bases: bases.sources(name)):
        sys.stdout.write((json.dumps({"source": source}) if as_json else source) + "\n")


@app.command()
def remove(
    name: Name,
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]...", help="As `show` names them. None: all.")
    ] = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Erase sources, or all of a knowledge base, for good: no older version keeps them."""
    count = _with(data_dir, lambda bases: bases.remove(name, sources or ()))
    sys.stdout.write((json.dumps({"removed": count}) if as_json else f"{count} sources are gone") + "\n")


class _Shown:
    """What a person, or a program, sees of an ingest."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._moves = sys.stderr.isatty() and not as_json

    def progress(self, progress: "Progress") -> None:
        """On a terminal one line that changes; JSON: a line a file."""
        if self._as_json:
            import msgspec

            line = {"type": "progress", **msgspec.structs.asdict(progress)}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        elif self._moves:
            text = f"{progress.done}/{progress.total}  {progress.passages} passages  {Path(progress.source).name}"
            sys.stderr.write(f"\r\x1b[K{visible(text[:100])}")
            sys.stderr.flush()

    def report(self, name: str, report: "IngestReport") -> int:
        """What became of every source; the exit code."""
        import msgspec

        if self._moves:
            sys.stderr.write("\r\x1b[K")
        if self._as_json:
            line = {"type": "report", "name": name, **msgspec.to_builtins(report)}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        else:
            for mark, kept_out in (("failed", report.failed), ("skipped", report.skipped)):
                for one in kept_out:
                    sys.stderr.write(f"{mark}: {one.source}: {one.reason}\n")
            sys.stdout.write(
                f"{name}: {len(report.added)} added, {len(report.changed)} changed, {report.unchanged} unchanged, "
                f"{len(report.removed)} removed, {report.passages} passages in {report.seconds:.1f} s\n"
            )
        return EXIT_FAILED if report.failed else EXIT_OK


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="It is made if it is missing.")],
    form: Annotated[options.Form, typer.Option(help="How the files are written.")] = options.Form.JSONL,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Write all knowledge bases as files that anything reads."""
    import msgspec

    manifest = _with(data_dir, lambda bases: bases.export(folder, form=form.value))
    if as_json:
        sys.stdout.write(msgspec.json.encode(manifest).decode() + "\n")
    else:
        sys.stdout.write(f"{sum(manifest.rows.values())} passages in {folder}\n")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="What `export` wrote.")],
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Read an export into bases that hold nothing yet: all of it, or nothing."""
    passages = _with(data_dir, lambda bases: bases.restore(folder))
    sys.stdout.write(json.dumps({"passages": passages}) + "\n" if as_json else f"{passages} passages\n")
