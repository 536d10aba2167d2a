"""Leaves the fields of named tuples out of the reference: their class has told of them already."""


def skip(app, kind, name, member, default, options):
    if (getattr(member, "__doc__", None) or "").startswith(
        "Alias for field number"
    ):
        return True
    return default


def setup(app):
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
