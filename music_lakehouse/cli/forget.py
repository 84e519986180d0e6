"""`music-lakehouse forget-user`: a person removed from the lake, and the proof of it."""

from __future__ import annotations

from typing import Annotated

import typer

from music_lakehouse.cli.confirm import confirm
from music_lakehouse.cli.console import note, say, show_table
from music_lakehouse.cli.errors import FAILED

EXAMPLE = "Example: music-lakehouse forget-user 12"
STREAMING = "streaming"


def forget_user(
    user_id: Annotated[int, typer.Argument(metavar="USER_ID", help="The user, by the userId of the events.")],
    *,
    pipeline: Annotated[str, typer.Option(help="Whose user: streaming (Kafka) is the only one yet.")] = STREAMING,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Remove a user from all listening tables and their history, and search the files of the lake for what is left.

    Messages, events, versions, facts and figures are as if the user had never been. Earlier versions of all listening
    tables are gone after it. May be killed and typed again. Exit code 1 where something was found, or a law is broken.
    """
    from music_lakehouse.cli.dagster_home import prepare_home
    from music_lakehouse.cli.progress import waiting
    from music_lakehouse.settings import Settings

    if pipeline != STREAMING:
        raise typer.BadParameter(
            f"people of {pipeline} can't be erased yet: remove them where its rows come from, then "
            "`music-lakehouse reset` and run it",
            param_hint="--pipeline",
        )
    settings = Settings()
    confirm(
        f"This removes user {user_id} from all listening tables of {settings.lake_uri}, and all earlier versions of "
        "these: who reads one now may fail",
        yes=yes,
    )
    prepare_home(settings)
    with waiting(f"Removing user {user_id}"):
        import dagster as dg

        from music_lakehouse.defs.listening.erasure import OUTSIDE, TABLES, forget_user
        from music_lakehouse.defs.told import tell
        from music_lakehouse.lakehouse.errors import explained
        from music_lakehouse.lakehouse.lake import LakePaths
        from music_lakehouse.resources.build import build_resources

        with dg.build_resources(build_resources(settings)) as resources:
            try:
                done = forget_user(resources.lakehouse.lake, user_id)
            except Exception as error:
                brokers = settings.kafka_bootstrap_servers
                raise explained(error, lake_root=settings.lake_uri, brokers=brokers) or error from error
    show_table(("table", "rows fewer"), list(done.removed.items()), right=("rows fewer",))
    by = "id, names and keys" if done.names_known else "id alone, the names being unknown (any more)"
    say(f"{done.searched.files:,} files ({done.searched.size:,} bytes) were searched for user {user_id}: by {by}")
    for found in done.searched.found:
        note(f"Still there: {found}", style="red")
    for law in done.broken:
        note(f"Broken: {law}", style="red")
    say("Not part of it, and yours to see to:")
    for place in OUTSIDE:
        say(f"  - {place}")
    if done.anew:
        with dg.DagsterInstance.get() as instance:
            tell(
                instance,
                LakePaths(settings.lake_uri),
                TABLES,
                "A user was forgotten, and all earlier versions with them",
            )
    if done.searched.found or done.broken:
        raise typer.Exit(FAILED)
    say(f"User {user_id} is in no file of the lake, and the laws hold", style="bold green")
