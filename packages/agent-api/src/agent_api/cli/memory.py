"""`agent memory`: what is kept beyond a session, where the setting `long_term` is on."""

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agent_api.cli import options
from agent_api.cli.visible import visible

if TYPE_CHECKING:
    from agent_api.knowledge import KnowledgeBases
    from agent_memory import Episode, Fact, TenantMemory
    from agent_memory.manifest import Manifest

T = TypeVar("T")

app = typer.Typer(help="The long-term memory.", no_args_is_help=True)


def _with(data_dir: str | None, work: "Callable[[TenantMemory], Awaitable[T]]") -> T | None:
    """What `work` gives; None, and a word to the person, where nothing was ever kept."""
    import anyio

    from agent_api.memory import has_memory, open_memory
    from agent_api.settings import load

    data_path = load({"data_dir": data_dir}).data_path()
    if not has_memory(data_path):
        sys.stderr.write("nothing is remembered yet; the setting long_term turns it on\n")
        return None

    async def opened() -> T:
        async with open_memory(data_path) as memory:
            return await work(memory)

    return anyio.run(opened)


def _show(item: "Episode | Fact", *, as_json: bool, why: str = "") -> None:
    import msgspec

    from agent_memory import Episode

    kind = "episode" if isinstance(item, Episode) else "fact"
    text = item.text if isinstance(item, Episode) else item.sentence
    if as_json:
        # JSON knows no infinity: what is true for ever has null there.
        row = msgspec.json.decode(msgspec.json.encode(item))
        sys.stdout.write(json.dumps({"kind": kind, **row, "sentence": text, "why": why}) + "\n")
        return
    at = item.said_at if isinstance(item, Episode) else item.recorded_at
    when = datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    who = f"{item.speaker}: " if isinstance(item, Episode) and item.speaker else ""
    sys.stdout.write(visible(f"{kind:<8} {item.id:>6}  {when}  {who}{' '.join(text.split())}\n"))


@app.command("list")
def list_memory(
    session: Annotated[str | None, typer.Option(help="Only what was said there.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many episodes, the newest.")] = 50,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """The facts that are held, and the newest that was said or noted."""

    async def listed(memory: "TenantMemory") -> "list[Episode | Fact]":
        from agent_memory import Filter

        episodes = [one async for one in memory.long_term.episodes(Filter(session_id=session))]
        facts = [] if session else await memory.long_term.facts()
        return [*facts, *episodes[-limit:]]

    for item in _with(data_dir, listed) or ():
        _show(item, as_json=as_json)


@app.command()
def search(
    question: str,
    count: Annotated[int, typer.Option("--count", "-k", min=1, max=100, help="How many.")] = 10,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """What answers a question best: facts, then what was said; JSON says why."""

    async def found(memory: "TenantMemory") -> "list[tuple[Episode | Fact, str]]":
        facts = await memory.long_term.search_facts(question, k=count)
        said = await memory.long_term.search(question, k=count)
        return [(hit.item, str(hit.why())) for hit in (*facts, *said)][:count]

    for item, why in _with(data_dir, found) or ():
        _show(item, as_json=as_json, why=why)


@app.command()
def forget(
    session: Annotated[str | None, typer.Option(help="All of a session.", show_default=False)] = None,
    speaker: Annotated[str | None, typer.Option(help="All that somebody said.", show_default=False)] = None,
    subject: Annotated[str | None, typer.Option(help="All facts of a subject.", show_default=False)] = None,
    containing: Annotated[
        str | None, typer.Option(help="All in which these words stand.", show_default=False)
    ] = None,
    episode: Annotated[list[int] | None, typer.Option(help="By number, as `list` has it.")] = None,
    fact: Annotated[list[int] | None, typer.Option(help="By number, as `list` has it.")] = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Erase whatever any of these names, for good. The journal of runs is another thing, and stays."""
    import msgspec

    from agent_memory import Forgetting, Forgotten

    what = Forgetting(
        session_id=session or None,
        speaker=speaker or None,
        subject=subject or None,
        containing=containing or None,
        episode_ids=tuple(episode or ()),
        fact_ids=tuple(fact or ()),
    )
    if what == Forgetting():
        raise typer.BadParameter(
            "say what to forget: --session, --speaker, --subject, --containing, --episode or --fact"
        )
    done = _with(data_dir, lambda memory: memory.long_term.forget(what)) or Forgotten(
        episodes=0, facts=0, outcomes=0, values=0
    )
    if as_json:
        sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
    else:
        sys.stdout.write(
            f"gone: {done.episodes} episodes, {done.facts} facts, {done.outcomes} outcomes, {done.values} values\n"
        )


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="It is made if it is missing.")],
    form: Annotated[options.Form, typer.Option(help="How the files are written.")] = options.Form.JSONL,
    bases: Annotated[
        bool, typer.Option("--bases", help="The knowledge bases too, passages with their vectors.")
    ] = False,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Write all that is remembered as files that anything reads; `import` reads them."""
    import msgspec

    manifest: Manifest | None
    if bases:
        from agent_api.backup import export_all

        manifest = _beside_bases(
            data_dir, lambda data_path, beside: export_all(data_path, beside, folder, form.value)
        )
    else:
        manifest = _with(data_dir, lambda memory: memory.export(folder, form=form.value))
    if manifest is None:
        return
    if as_json:
        sys.stdout.write(msgspec.json.encode(manifest).decode() + "\n")
    else:
        sys.stdout.write(f"{sum(manifest.rows.values())} rows in {folder}\n")


@app.command("import")
def import_memory(
    folder: Annotated[Path, typer.Argument(help="What `export` wrote, here or on another machine.")],
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Read an export, with the knowledge bases that are in it, to where nothing of it is yet: all of it, or nothing."""
    from agent_api.backup import import_all

    def told(part: str, rows: int) -> None:
        if as_json:
            sys.stdout.write(json.dumps({"type": "progress", "part": part, "rows": rows}) + "\n")
            sys.stdout.flush()

    done = _beside_bases(data_dir, lambda data_path, bases: import_all(data_path, bases, folder, told))
    if as_json:
        sys.stdout.write(json.dumps({"type": "report", "rows": done.rows, "passages": done.passages}) + "\n")
    else:
        sys.stdout.write(f"{done.rows} rows of the memory, {done.passages} passages of knowledge bases\n")


def _beside_bases(data_dir: str | None, work: "Callable[[Path, KnowledgeBases], Awaitable[T]]") -> T:
    """What `work` gives, of the data folder and its knowledge bases."""
    import anyio

    from agent_api.knowledge import KnowledgeBases
    from agent_api.settings import load

    async def opened() -> T:
        settings = load({"data_dir": data_dir})
        bases = KnowledgeBases(settings.data_path(), at=settings.knowledge_at)
        try:
            return await work(settings.data_path(), bases)
        finally:
            await bases.aclose()

    return anyio.run(opened)
