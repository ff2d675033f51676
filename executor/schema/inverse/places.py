"""Where kept data are: names in the archive, and what is said there about them."""

from __future__ import annotations

from executor.schema.archive import comment
from executor.schema.inverse.options import Options
from executor.schema.names import dotted, literal, shortened
from executor.schema.objects import Ref


class Places:
    """Where in the archive each kept object is, under a name that no other kept object has."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.given: dict[Ref, tuple[str, str]] = {}

    @property
    def suffix(self) -> str:
        """What ends every name."""
        label = self.options.archive_label
        return f"__{label}" if label else ""

    def of(self, ref: Ref) -> tuple[str, str]:
        """Where in the archive the object is, under a name that nothing else kept here has."""
        if ref not in self.given:
            parts = ref.path if ref.path[0] != "public" else ref.path[1:]
            taken = {place[1] for place in self.given.values()}
            name, number = shortened("__".join(parts), self.suffix), 1
            while name in taken:
                number += 1
                name = shortened("__".join(parts), f"_{number}{self.suffix}")
            self.given[ref] = (self.options.archive_schema, name)
        return self.given[ref]

    def comment(self, word: str, ref: Ref) -> str:
        """The COMMENT that says what the object was and until when it is kept."""
        options = self.options
        text = comment(dotted(ref.path), options.archive_label, options.purge_after)
        return f"COMMENT ON {word} {dotted(self.of(ref))} IS {literal(text).strip()}"
