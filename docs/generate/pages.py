"""Hooks for mkdocs, which builds one site from the repository's pages.

The site also includes pages at the top of the repository (README.md and others) and notebooks.
In the files, links are relative, as the repository's hosts need them; links that leave docs/ become
links to a page of the site or to the repository.
"""

import json
import posixpath
import re
from pathlib import Path

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
TOP = {  # file of the repository: page of the site
    'README.md': 'index.md',
    'CHANGELOG.md': 'changelog.md',
    'CITATION.cff': 'citation.md',
    'CONTRIBUTING.md': 'contributing.md',
    'SECURITY.md': 'security.md',
}
SOURCES = {page: source for source, page in TOP.items()}
SHORT_CODE = re.compile('<code>([^<]{1,32})</code>')
COMMANDS = re.compile('<div class="language-bash.*?</div>', re.DOTALL)
OPTION = re.compile(r'(?<![\w-])--[a-z][\w-]*')
LINK = re.compile(r'(\]\()(?!\w+:|#)([^)\s]+)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not Markdown files in docs/."""
    pages = {page: (ROOT / source).read_text() for source, page in TOP.items()}
    pages['citation.md'] = citation(pages['citation.md'])
    for path in sorted((ROOT / 'docs/notebooks').glob('*.ipynb')):
        page = path.relative_to(ROOT / 'docs').with_suffix('.md').as_posix()
        pages[page] = notebook(path)
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links of the site."""
    here = page.file.src_uri
    if here == 'index.md':
        page.meta['hide'] = ['navigation']  # it has no neighbours
    source = SOURCES.get(here, f'docs/{here}')

    def link(found: re.Match) -> str:
        return found[1] + site_link(found[2], source, here, config.repo_url or '')

    return LINK.sub(link, markdown)


def on_page_content(html: str, **_: object) -> str:
    """Mark short code and options of commands, which site.css does not break."""
    html = SHORT_CODE.sub(r'<code class="whole">\1</code>', html)
    return COMMANDS.sub(
        lambda block: OPTION.sub(r'<span class="whole">\g<0></span>', block[0]), html
    )


def on_page_context(context: dict, *, page: Page, **_: object) -> dict:
    """Give the room of a table of contents that has nothing to list to the page's tables."""
    if len(page.toc.items) == 1 and len(page.toc.items[0].children) < 2:
        page.meta.setdefault('hide', []).append('toc')
    return context


def site_link(target: str, source: str, here: str, repository: str) -> str:
    """Return where a link leads on the site.

    Args:
        target: the link as written.
        source: the repository's file that contains it.
        here: that file's page.
        repository: where to see files that are not pages.

    Raises:
        PluginError: the file does not exist.
    """
    path, _, anchor = target.partition('#')
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if not (ROOT / path).exists() and not path.startswith('docs/notebooks/'):
        raise PluginError(f'{source}: a link leads to {path}, which does not exist')
    page = TOP.get(path)
    if not page and path.startswith('docs/') and not path.endswith(('.py', '.json')):
        page = path.removeprefix('docs/').replace('.ipynb', '.md')
    if not page:
        return f'{repository}/blob/main/{path}'
    found = posixpath.relpath(page, posixpath.dirname(here) or '.')
    return f'{found}#{anchor}' if anchor else found


def notebook(path: Path) -> str:
    """Return a notebook as Markdown; the repository does not keep outputs."""
    parts = []
    for cell in json.loads(path.read_text())['cells']:
        text = ''.join(cell['source'])
        parts.append(text if cell['cell_type'] == 'markdown' else f'```python\n{text}\n```')
    title, *rest = parts
    name = path.relative_to(ROOT).as_posix()
    where = f'*This page shows `{name}`; open that file in Jupyter to run it.*'
    return '\n\n'.join([title, where, *rest]) + '\n'


def citation(text: str) -> str:
    """Return CITATION.cff as text for readers."""
    cited = yaml.safe_load(text)
    lines = [
        '# Citation',
        cited['message'],
        f'The software: {cited["authors"][0]["name"]}, *{cited["title"]}*. The repository has '
        'a CITATION.cff, which reference managers and GitHub read.',
        'The papers:',
    ]
    papers, entries = [], []
    for paper in cited['references']:
        names = ', '.join(f'{a["given-names"]} {a["family-names"]}' for a in paper['authors'])
        number = paper['identifiers'][0]['value'].removeprefix('arXiv:')
        where = paper.get('journal') or paper.get('collection-title', 'Preprint').strip()
        papers.append(
            f'- {names}: *{paper["title"]}*. {where}, {paper["year"]}. '
            f'[arXiv:{number}](https://arxiv.org/abs/{number})'
        )
        entries.append(bibtex(paper, number))
    entry = '\n\n'.join(entries)
    return '\n\n'.join([*lines, '\n'.join(papers), f'```bibtex\n{entry}\n```']) + '\n'


def bibtex(paper: dict, number: str) -> str:
    """Return the BibTeX entry of a paper in CITATION.cff, called by its first word."""
    kind, place = 'misc', {}
    if 'journal' in paper:
        kind, place = 'article', {'journal': paper['journal']}
    elif 'collection-title' in paper:
        kind, place = 'inproceedings', {'booktitle': paper['collection-title'].strip()}
    fields = {
        'title': f'{{{paper["title"]}}}',
        'author': ' and '.join(
            f'{a["family-names"]}, {a["given-names"]}' for a in paper['authors']
        ),
        **place,
        'year': paper['year'],
        'eprint': number,
        'archiveprefix': 'arXiv',
    }
    name = re.match(r'\w+', paper['title'])[0].lower()
    body = ''.join(f'  {field} = {{{value}}},\n' for field, value in fields.items())
    return f'@{kind}{{{name}{paper["year"]},\n{body}}}'
