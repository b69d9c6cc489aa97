"""What the site has beside the pages of docs/: the files of the repository that pages link to, and generated answers.

MkDocs loads this as hooks (mkdocs.yml). A page links to other files of the repository as a reader there needs
it: `../model_cards/lungs.md` for instance. The site has a copy of each such file under its path in the repository, as a
page where it is Markdown or a notebook. A link to a file that is not there ends the build.
"""

import json
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from groundglass.domain.refusals import REFUSALS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)\s#]+)(?P<after>(?:#[^)\s]*)?(?:\s+\"[^\"]*\")?\))")
_FENCED = re.compile(r"^(?P<fence>```+).*?^(?P=fence)", re.MULTILINE | re.DOTALL)
_ANSWERS = "<!-- an answer for each refusal code -->"
_FIGURES = "<!-- README's figures -->"
_OF_THE_FILE = re.compile(r"^<!-- for readers of this file.*?^<!-- end -->\n", re.MULTILINE | re.DOTALL)
"""What a page says in place of what is generated, to who reads its file."""


def on_files(files: Files, config: Any) -> Files:
    """Add each file of the repository that the site links to."""
    waiting = [ROOT / "docs" / file.src_uri for file in files.documentation_pages()]
    waiting += [_in_repository(uri) for uri in _pages_of(config["nav"]) if files.get_file_from_path(uri) is None]
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(file)  # it becomes a page
    seen = set()
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        if files.get_file_from_path(_uri(page)) is None:
            if not page.is_file():
                raise PluginError(f"{page.relative_to(ROOT)} is linked to, and is no file of the repository.")
            if page.suffix == ".ipynb":
                files.append(File.generated(config, _uri(page), content=_as_page(page)))
            else:
                files.append(File.generated(config, _uri(page), abs_src_path=str(page)))
        if page.suffix in (".md", ".ipynb"):
            text = _as_page(page) if page.suffix == ".ipynb" else page.read_text(encoding="utf-8")
            waiting += _links(page, text)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at the copies, and put in what is generated."""
    source = _in_repository(page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)

    def at_its_copy(link: re.Match[str]) -> str:
        target = _resolved(source, link["target"])
        if target is None:
            return link[0]
        return f"{link['before']}{posixpath.relpath(_uri(target), here or '.')}{link['after']}"

    markdown = _LINK.sub(at_its_copy, _OF_THE_FILE.sub("", markdown))
    return markdown.replace(_ANSWERS, _answers()).replace(_FIGURES, _figures())


def _answers() -> str:
    """A question and its answer for each refusal code."""
    return "\n\n".join(
        f"### `{code}`\n\n**What is wrong?** {advice.meaning}\n\n**What can I do?** {advice.remedy}"
        for code, advice in REFUSALS.items()
    )


def _figures() -> str:
    """The figures of README, which `training.ship` writes with each set of weights."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return readme.split("<!-- figures -->\n")[1].split("<!-- end of figures -->")[0]


def _pages_of(nav: Any) -> Iterator[str]:
    """Every page that the navigation names."""
    for entry in nav if isinstance(nav, list) else nav.values():
        if isinstance(entry, str):
            yield entry
        else:
            yield from _pages_of(entry)


def _as_page(notebook: Path) -> str:
    """A notebook's texts, and its code in blocks."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(f"```python\n{text}\n```" if kind == "code" else text for kind, text in parts) + "\n"


def _links(page: Path, text: str) -> Iterator[Path]:
    """The files that a page links to, outside its blocks of code."""
    for link in _LINK.finditer(_FENCED.sub("", text)):
        target = _resolved(page, link["target"])
        if target is not None:
            yield target


def _resolved(page: Path, target: str) -> Path | None:
    """The file of the repository that a link names; None for one to elsewhere."""
    if re.match(r"[a-z][a-z0-9+.-]*:|//", target):
        return None
    path = Path(os.path.normpath(page.parent / unquote(target)))
    return DOCS / "index.md" if path == ROOT / "README.md" else path


def _uri(path: Path) -> str:
    """Where the site has a file: what is in docs/ at its top, everything else under its path in the repository."""
    inside = DOCS if path.is_relative_to(DOCS) else ROOT
    name = path.with_suffix(".md") if path.suffix == ".ipynb" else path
    return name.relative_to(inside).as_posix()


def _in_repository(uri: str) -> Path:
    """The inverse of `_uri`."""
    named = (DOCS / uri, (DOCS / uri).with_suffix(".ipynb"))
    return next((path for path in named if path.exists()), ROOT / uri)


_LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"?(?P<address>(?:https?:)?//[^\"\s>]+)")


def on_post_build(config: Any, **_: Any) -> None:
    """Hold that no page loads anything from another machine."""
    for page in sorted(Path(config["site_dir"]).rglob("*.html")):
        if found := _LOADED.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page.name} loads {found['address']}: a hospital's network has no way there.")
