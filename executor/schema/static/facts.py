"""What the live catalog adds to the texts: names, what needs what, and what is gone."""

from __future__ import annotations

from collections.abc import Iterator

from executor.schema.names import dotted, quoted
from executor.schema.objects import Ref, Snapshot
from executor.schema.reading.said import CREATED, Said
from executor.schema.static.earlier import Key


class Facts:
    """`live` is the target's schema behind the migration (None: not known); `made` what the file made."""

    def __init__(self, live: Snapshot | None, made: set[Key]) -> None:
        self.live = live
        self.made = made

    def name_in_catalog(self, said: Said) -> tuple[str, ...] | None:
        """The name that the object has on the target; None where it isn't there."""
        if self.live is None or said.kind in ("role", "database", "default privileges"):
            return said.name
        if said.kind == "function":
            same = [
                ref for ref in self.live.objects if ref.kind == "function" and ref.path[:2] == said.name[:2]
            ]
            return same[0].path if len(same) == 1 else said.name if same else None
        if Ref(said.kind, said.name) in self.live:
            return said.name
        if said.kind == "index" and said.columns:
            return self._index_of(said)
        return None

    def _index_of(self, said: Said) -> tuple[str, ...] | None:
        """An index without a name of its own in the file: the one on these columns, if there is just one."""
        if self.live is None:
            return None
        wanted = {Ref("column", (*said.on, column)) for column in said.columns}
        found = [
            thing.ref.path
            for thing in self.live.of_kind("index")
            if tuple(thing["relation"]) == said.on
            and {need for need in self.live.needs.get(thing.ref, ()) if need.kind == "column"} == wanted
        ]
        return found[0] if len(found) == 1 else None

    def strangers(self, said: Said, name: tuple[str, ...]) -> str:
        """Something on the target that needs the object and that this file did not make."""
        if self.live is None:
            return ""
        parts = [Ref(said.kind, name)]
        if said.kind == "table" and len(name) == 2:
            parts += [thing.ref for thing in self.live.parts(name[0], name[1])]
        for part in parts:
            for dependent, letter in self.live.needed_by.get(part, {}).items():
                own = dependent.path[: len(name)] == name or (dependent.kind, dependent.path) in self.made
                if letter == "n" and not own and ("table", dependent.path[:2]) not in self.made:
                    return str(dependent)
        return ""

    def keys_among(self, effects: list[Said]) -> Iterator[str]:
        """Foreign keys by which new tables hold tables that are dropped before them."""
        if self.live is None:
            return
        created = [said for said in effects if said.what == CREATED and said.kind == "table"]
        place = {said.name: said.position for said in created}
        for said in created:
            for part in self.live.parts(said.name[0], said.name[1]) if len(said.name) == 2 else ():
                if part.ref.kind == "constraint" and part["references"]:
                    other = tuple(part["references"])
                    if place.get(other, -1) > said.position:
                        yield f"ALTER TABLE {dotted(said.name)} DROP CONSTRAINT {quoted(part.ref.name)}"

    def of_new_columns(self, said: Said) -> bool:
        """Whether it only fills columns that the file itself added."""
        made = {name for kind, name in self.made if kind == "column"}
        return bool(said.columns) and all((*said.name, column) in made for column in said.columns)
