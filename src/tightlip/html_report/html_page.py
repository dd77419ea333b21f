"""Renders HTML pages from templates; `base.html.j2` forbids scripts and the network."""


def render(package: str, template: str, **context: object) -> str:
    """Fill a template; values from data are escaped.

    Args:
        package: package that holds the template; it may extend `base.html.j2`.
        template: name of the file.
        context: variables of the template; a missing one is an error.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader(__package__, ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**context)
