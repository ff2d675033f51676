"""Archives of migrations: what is in them is read, and what they should not do they can't."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from approvals import sources
from approvals.sources import SourceRefused, in_archive

SQL = b"SELECT 1;\n"
Entry = tuple[str, bytes] | tuple[zipfile.ZipInfo, bytes]


def archive(*entries: Entry, method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as writing:
        for entry, data in entries:
            writing.writestr(entry, data)
    return made


def read(made: io.BytesIO, folder: str = "") -> dict[str, bytes]:
    """The files that an import would see, by path."""
    with in_archive(made, "x.zip", folder=folder) as source:
        return {
            str(path.relative_to(source.directory)): path.read_bytes()
            for path in source.directory.rglob("*")
            if path.is_file()
        }


def special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (kind | 0o777) << 16
    return entry


def test_files_are_read_as_they_are() -> None:
    files = {"V1__a.sql": SQL, "sub/V2__ü.sql": "-- é\r\n".encode()}
    assert read(archive(*files.items())) == files


def test_a_single_folder_around_everything_is_stepped_into() -> None:
    assert read(archive(("repo-main/V1__a.sql", SQL), ("repo-main/flyway.toml", b""))) == {
        "V1__a.sql": SQL,
        "flyway.toml": b"",
    }


def test_only_the_folder_asked_for_is_unpacked_and_the_settings_above_it() -> None:
    made = archive(
        ("app/flyway.toml", b"[flyway]\n"),
        ("app/sql/V1__a.sql", SQL),
        ("app/other.sql", SQL),
        ("V9__x.sql", SQL),
    )
    with in_archive(made, "x.zip", folder="/app/sql/") as source:
        assert [path.name for path in source.directory.iterdir()] == ["V1__a.sql"]
        assert [path.name for path in source.directory.parent.iterdir() if path.is_file()] == ["flyway.toml"]


def test_nothing_is_left_afterwards() -> None:
    with in_archive(archive(("V1__a.sql", SQL)), "x.zip") as source:
        place = source.directory
        assert place.exists()
    assert not place.exists()


OUTSIDE = ["../V1__a.sql", "/etc/V1__a.sql", "a/../../V1__a.sql", "C:/V1__a.sql", "a\\..\\V1.sql", "a//b.sql"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_place_outside_is_refused_with_everything_else(name: str) -> None:
    entry = zipfile.ZipInfo("x")
    entry.filename = name
    with pytest.raises(SourceRefused, match="names a place outside of it"):
        read(archive(("V1__good.sql", SQL), (entry, SQL)))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(kind: int) -> None:
    with pytest.raises(SourceRefused, match=r"V1__a\.sql in the archive is a link or a device"):
        read(archive((special("V1__a.sql", kind), b"/etc/passwd")))


def test_an_encrypted_file_is_refused() -> None:
    made = bytearray(archive(("V1__a.sql", SQL)).getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(mark) + offset] |= 1
    with pytest.raises(SourceRefused, match=r"V1__a\.sql in the archive is encrypted"):
        read(io.BytesIO(bytes(made)))


def test_a_bomb_is_cut_short_whatever_it_says_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 2 * 1024**2)
    bomb = archive(("V1__a.sql", b"-" * 5 * 1024**2))
    assert len(bomb.getvalue()) < 20_000
    with pytest.raises(SourceRefused, match=r"V1__a.sql is larger than 2 MB"):
        read(bomb)
    lying = bytearray(bomb.getvalue())  # the sizes in the directory of the archive
    at = lying.index(b"PK\x01\x02") + 24
    lying[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(SourceRefused):
        read(io.BytesIO(bytes(lying)))


def test_many_small_bombs_are_one_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_TOTAL", 2 * 1024**2)
    with pytest.raises(SourceRefused, match="All of it unpacked is larger than 2 MB"):
        read(archive(*((f"V{n}__a.sql", b"-" * 1024**2) for n in range(3))))


def test_too_many_files_and_too_large_an_archive_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_FILES", 2)
    with pytest.raises(SourceRefused, match="more than 2 files"):
        read(archive(*((f"V{n}__a.sql", SQL) for n in range(3))))
    monkeypatch.setattr(sources, "LARGEST_ARCHIVE", 1024**2)
    with pytest.raises(SourceRefused, match="The archive is larger than 1 MB"):
        read(archive(("V1__a.sql", os.urandom(1024**2 + 1)), method=zipfile.ZIP_STORED))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_and_a_file_that_is_a_folder_are_refused() -> None:
    with pytest.raises(SourceRefused, match=r"holds V1__a\.sql twice"):
        read(archive(("V1__a.sql", SQL), ("V1__a.sql", b"DROP TABLE x;")))
    with pytest.raises(SourceRefused, match="cannot be unpacked"):
        read(archive(("a", SQL), ("a/V1__a.sql", SQL)))


def damaged(change: Callable[[bytearray], None]) -> io.BytesIO:
    made = bytearray(archive(("V1__a.sql", SQL * 500)).getvalue())
    change(made)
    return io.BytesIO(bytes(made))


def cut(made: bytearray) -> None:
    del made[len(made) // 2 :]


def flip(made: bytearray) -> None:
    made[45] ^= 0xFF


def unknown_method(made: bytearray) -> None:
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        made[made.index(mark) + offset] = 99


@pytest.mark.parametrize("change", [cut, flip, unknown_method])
def test_a_damaged_archive_is_told_in_a_sentence(change: Callable[[bytearray], None]) -> None:
    with pytest.raises(SourceRefused, match=r"x\.zip cannot be read as a \.zip"):
        read(damaged(change))


def test_what_is_no_archive_is_told() -> None:
    with pytest.raises(SourceRefused, match=r"cannot be read as a \.zip"):
        read(io.BytesIO(b"%PDF-1.7"))


@pytest.mark.parametrize("folder", ["..", "a/../..", "a\\b", "C:/x"])
def test_a_folder_outside_is_refused(folder: str) -> None:
    with pytest.raises(SourceRefused, match="is no folder inside of it"):
        read(archive(("V1__a.sql", SQL)), folder)


def test_a_folder_or_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="There is no folder db in it"):
        read(archive(("V1__a.sql", SQL)), "db")
    with pytest.raises(SourceRefused, match="There is no directory"):
        sources.in_directory(tmp_path / "nowhere")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_the_usual_way_of_packing_is_read(method: int) -> None:
    with pytest.raises(SourceRefused, match="unusual way"):
        read(archive(("V1__a.sql", SQL), method=method))


def broken(made: io.BytesIO, at: int, data: bytes) -> io.BytesIO:
    """The archive with other bytes at this place of its last entry's record (from 100: of its end's)."""
    raw = bytearray(made.getvalue())
    begin = raw.rindex(b"PK\x01\x02") + at if at < 100 else raw.rindex(b"PK\x05\x06") + at - 100
    raw[begin : begin + len(data)] = data
    return io.BytesIO(bytes(raw))


@pytest.mark.parametrize(
    ("at", "data"), [(116, b"\xf0\xff\xff\xff"), (42, b"\xf0\xff\xff\xff"), (46, b"\xff\xfe")]
)
def test_a_broken_list_of_contents_is_refused_in_words(at: int, data: bytes) -> None:
    made = archive(("V1__ü.sql", SQL))  # named in UTF-8, which the archive says of it
    with pytest.raises(SourceRefused, match=r"cannot be read as a \.zip"):
        read(broken(made, at, data))


def test_a_million_entries_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_ENTRIES", 2)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(SourceRefused, match="more than"):
        read(io.BytesIO(b"PK\x01\x02" * 3))


@pytest.mark.parametrize("folder", ["x" * 300, "x/" * 300 + "x", "é" * 200])
def test_a_folder_that_no_disk_can_hold_is_refused(folder: str) -> None:
    with pytest.raises(SourceRefused, match="no folder"):
        read(archive(("V1__a.sql", SQL)), folder=folder)
