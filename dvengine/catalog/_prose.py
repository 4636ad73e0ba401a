"""Descriptions: markdown as people write it, with nothing in it that a browser would act on."""

from __future__ import annotations

from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from dvengine.catalog._links import safe_url

__all__ = ["plain_text", "prose"]


def _renderer() -> MarkdownIt:
    # No raw HTML, and no images: a picture on another host would tell it who reads the catalogue.
    markdown = (
        MarkdownIt("commonmark", {"html": False})
        .enable("table")
        .disable(["image", "html_block", "html_inline"])
    )
    markdown.validateLink = lambda url: safe_url(url) is not None  # type: ignore[method-assign]
    return markdown


_MARKDOWN = _renderer()


def prose(text: str) -> Markup:
    """Return a description as HTML.

    Guarantees: only elements of markdown's own; links only to ``http``, ``https`` and ``mailto``; headings from h3 down, so that
    the page's outline stays its own.

    Example:
        >>> print(prose("[a](javascript:alert(1)) <b>"))
        <p>[a](javascript:alert(1)) &lt;b&gt;</p>
        <BLANKLINE>
    """
    tokens = _MARKDOWN.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        for inner in token.children or ():
            if inner.type == "link_open":
                inner.attrSet("rel", "noopener nofollow")
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704 - the one place that makes HTML of text


def plain_text(text: str, *, longest: int) -> str:
    r"""Return the words of a description without its marks, cut at a word.

    Example:
        >>> plain_text("# Title\n\nSome *long* words", longest=14)
        'Title Some …'
    """
    words = " ".join("".join(_words(_MARKDOWN.parse(text))).split())
    return words if len(words) <= longest else words[: longest - 1].rpartition(" ")[0].rstrip(",.;:") + " …"


def _words(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.children:
            yield from _words(token.children)
        elif token.type in ("text", "code_inline", "code_block", "fence"):
            yield token.content
        elif token.type in (
            "softbreak",
            "hardbreak",
            "paragraph_close",
            "heading_close",
            "th_close",
            "td_close",
        ):
            yield " "
