"""Words as the file index and the site's search box compare them: folded, and lightly stemmed.

This is small on purpose. Folding: NFC, lower case, ``å`` = ``aa``, ``æ`` = ``ä`` = ``ae``, ``ø`` = ``ö`` = ``oe``, other marks
dropped. Stemming: the longest of a few Norwegian endings is cut where at least three letters stay, so that *kommune, kommuner,
kommunen, kommunene* meet. It knows no grammar: irregular plurals (*bok*, *bøker*) meet only in Elasticsearch, whose
``norwegian`` analyzer is the real thing; there a typo is also forgiven more freely.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["STOP", "SUFFIXES", "fold", "near", "stem", "words"]

_SPELLED = str.maketrans(
    {"å": "aa", "æ": "ae", "ä": "ae", "ø": "oe", "ö": "oe", "đ": "d", "ŋ": "n", "ŧ": "t", "ð": "d"}
)

#: Longest first: definite and indefinite endings of nouns, the commonest of adjectives, and the genitive.
SUFFIXES = ("enes", "ene", "ens", "ets", "ers", "en", "et", "er", "es", "e", "s", "a")

_KEEP = 3

STOP = frozenset(
    [
        "og",
        "i",
        "av",
        "på",
        "for",
        "til",
        "med",
        "etter",
        "en",
        "et",
        "ei",
        "er",
        "som",
        "fra",
        "om",
        "de",
        "det",
        "den",
        "at",
        "ved",
        "per",
        "the",
        "of",
        "and",
        "in",
        "by",
        "to",
        "a",
        "an",
    ]
)


def fold(text: str) -> str:
    """Return the text in lower case, one spelling for each of æ, ø, å, and no other marks.

    Example:
        >>> fold("Sykefravær i ÅS"), fold("café")
        ('sykefravaer i aas', 'cafe')
    """
    spelled = unicodedata.normalize("NFC", text).lower().translate(_SPELLED)
    return "".join(c for c in unicodedata.normalize("NFD", spelled) if not unicodedata.combining(c))


@lru_cache(maxsize=1 << 14)
def stem(word: str) -> str:
    """Cut the ending off a folded word.

    Example:
        >>> {stem(w) for w in ("kommune", "kommuner", "kommunen", "kommunene")}
        {'kommun'}
    """
    for suffix in SUFFIXES:
        kept = word[: -len(suffix)]
        # The e of a folded æ or ø (fravaer, froe) begins no ending.
        if word.endswith(suffix) and len(kept) >= _KEEP and not (suffix[0] == "e" and kept[-1] in "ao"):
            return kept
    return word


def words(text: str, *, stop: bool = False) -> list[str]:
    """Return the folded words of a text; underscores part words. With ``stop``, the very common ones are left out.

    Example:
        >>> words("Andel_kvinner (20-66 år)"), words("fravær etter fylke", stop=True)
        (['andel', 'kvinner', '20', '66', 'aar'], ['fravaer', 'fylke'])
    """
    found = re.findall(r"[^\W_]+", fold(text))
    kept = [word for word in found if word not in _STOP_FOLDED] if stop else found
    return kept or found


_STOP_FOLDED = frozenset(map(fold, STOP))


def near(a: str, b: str) -> bool:
    """Whether one letter changed, added, lost or swapped with its neighbour makes the words equal.

    Example:
        >>> near("fravaer", "fravar"), near("fylke", "flyke"), near("fylke", "folket")
        (True, True, False)
    """
    if a == b:
        return True
    if len(a) > len(b):
        a, b = b, a
    if len(b) - len(a) > 1:
        return False
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) < len(b):
        return a[at:] == b[at + 1 :]
    return a[at + 1 :] == b[at + 1 :] or (
        a[at : at + 2] == b[at : at + 2][::-1] and a[at + 2 :] == b[at + 2 :]
    )
