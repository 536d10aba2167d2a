"""Repository and launch buttons (Colab, Binder) for the repository that the book is built from.

A fork must open its own notebooks, so nothing is written into ``_config.yml``: on GitHub the
name comes from the workflow, elsewhere from the remote ``origin``. Where neither names a
repository on GitHub, the pages have no such buttons rather than wrong ones.
"""

import os
import re
import subprocess

BRANCH = "main"
GITHUB = re.compile(
    r"(?:https://(?:[^@/]+@)?|ssh://git@|git@)github\.com[/:]([\w.-]+/[\w.-]+)"
)


def repository():
    """``"owner/name"`` of the repository on GitHub, or ``None`` where it is unknown."""
    if os.environ.get("GITHUB_REPOSITORY"):
        return os.environ["GITHUB_REPOSITORY"]
    try:
        asked = subprocess.run(
            ["git", "remote", "get-url", "origin"], capture_output=True, text=True
        )
    except FileNotFoundError:  # no git: a downloaded copy
        return None
    found = GITHUB.fullmatch(
        asked.stdout.strip().removesuffix("/").removesuffix(".git")
    )
    return found and found[1]


def options(name):
    """Theme options that the repository adds; none for an unknown one."""
    if not name:
        return {}
    return {
        "repository_url": f"https://github.com/{name}",
        "repository_branch": BRANCH,
        "path_to_docs": "",
        "use_repository_button": True,
        "use_issues_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }


def setup(app):
    app.connect(
        "config-inited",
        lambda _, config: config.html_theme_options.update(options(repository())),
    )
    return {"parallel_read_safe": True}
