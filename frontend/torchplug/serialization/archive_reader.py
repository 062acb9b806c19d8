"""Reads the zip archives that hold checkpoints, believing nothing that the file says before it is checked."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from torchplug.serialization.archive_writer import CHECKSUMS

__all__ = ["ArchiveReader", "Record"]

_MOST_RECORDS = 1_000_000
_LONGEST_DIRECTORY = 1 << 28
_LONGEST_INFLATED = 1 << 26
"""All compressed records of an archive together may unpack to this many bytes, or to 32 times their size if that is more:
checkpoints are stored, not compressed, and a few kilobytes that claim gigabytes are an attack."""
_STORED, _DEFLATED = 0, 8


class Record:
    """Where one record lies: offset of its local header, compressed and true size, method, CRC-32."""

    __slots__ = ("checksum", "header", "method", "name", "packed", "size")

    def __init__(self, name: str, header: int, packed: int, size: int, method: int, checksum: int) -> None:
        self.name = name
        self.header = header
        self.packed = packed
        self.size = size
        self.method = method
        self.checksum = checksum


def _failed(what: str) -> RuntimeError:
    return RuntimeError(f"PytorchStreamReader failed reading zip archive: {what}")


class ArchiveReader:
    """The records of an archive by name, without its folder. `file` must be seekable.

    Raises RuntimeError, beginning as PyTorch's does, for a file that is cut short, damaged or hostile.
    """

    def __init__(self, file: Any) -> None:
        self.file = file
        self.start = file.tell()
        self.end = file.seek(0, 2)
        count, size, offset = self._find_directory()
        if count > _MOST_RECORDS or size > _LONGEST_DIRECTORY:
            raise _failed(f"{count} records in a directory of {size} bytes are more than torchplug reads")
        self.folder = ""
        self.records = self._read_directory(self._bytes(offset, size), count)
        self._check_layout(offset)
        self._check_inflation()
        self.checksums = self._read_checksums()

    # ---- records ----------------------------------------------------------------------------------------------------

    def __contains__(self, name: str) -> bool:
        return name in self.records

    def read(self, name: str, longest: int = 1 << 28) -> bytes:
        """Returns the bytes of a record, checked; RuntimeError if there is none, it is longer than `longest`, or damaged."""
        record = self.record(name)
        if record.size > longest:
            raise _failed(f"record '{name}' has {record.size} bytes, more than the {longest} torchplug reads")
        data = self._bytes(self.data_offset(record), record.packed)
        if record.method == _DEFLATED:
            data = _inflated(data, record)
        self.verify(record, data)
        return data

    def read_into(self, name: str, target: Any) -> None:
        """Reads a record into a writable array of exactly its size, checked."""
        record = self.record(name)
        if record.method == _DEFLATED:
            memoryview(target)[:] = self.read(name, record.size)
            return
        self.file.seek(self.start + self.data_offset(record))
        view = memoryview(target).cast("B")
        done = 0
        while done < len(view):
            got = self.file.readinto(view[done:]) if hasattr(self.file, "readinto") else None
            if got is None:
                piece = self.file.read(len(view) - done)
                got = len(piece)
                view[done : done + got] = piece
            if not got:
                raise _failed(f"record '{name}' is cut short: got {done} bytes, expected {len(view)}")
            done += got
        self.verify(record, view)

    def record(self, name: str) -> Record:
        """Returns where a record lies; RuntimeError if there is none."""
        found = self.records.get(name)
        if found is None:
            raise RuntimeError(f"PytorchStreamReader failed locating file {name}: file not found")
        return found

    def data_offset(self, record: Record) -> int:
        """Returns where a record's bytes begin; checks that its local header says what the directory says."""
        header = self._bytes(record.header, 30)
        magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = struct.unpack(
            "<4sHHHHHIIIHH", header
        )
        name = self._bytes(record.header + 30, name_length)
        told_later = flags & 8  # sizes and checksum follow the data; the header has zeros
        same = (crc, packed, size) == (0, 0, 0) if told_later else (
            crc == record.checksum and packed in (record.packed, 0xFFFFFFFF) and size in (record.size, 0xFFFFFFFF)
        )  # fmt: skip
        full_name = (self.folder + record.name).encode()
        if (
            magic != b"PK\x03\x04"
            or method != record.method
            or name != full_name
            or not (same or told_later and size == record.size)
        ):
            raise _failed(f"the header of record '{record.name}' contradicts the directory")
        offset: int = record.header + 30 + name_length + extra_length
        if offset + record.packed > self.end - self.start:
            raise _failed(f"record '{record.name}' reaches beyond the end of the file")
        return offset

    def verify(self, record: Record, data: Any) -> None:
        """Raises RuntimeError when bytes are not those that were written."""
        found = zlib.crc32(data)
        told = {record.checksum, self.checksums.get(record.name, record.checksum)}
        # Writers that were told not to compute checksums leave 0.
        if record.checksum == 0 and record.name not in self.checksums:
            return
        if len(data) != record.size or told != {found}:
            raise RuntimeError(
                f"PytorchStreamReader failed reading file {record.name}: the data is damaged, its CRC-32 is {found:#010x}, expected "
                f"{' and '.join(f'{value:#010x}' for value in sorted(told))}"
            )

    # ---- the directory ----------------------------------------------------------------------------------------------

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or self.start + offset + size > self.end:
            raise _failed("a record reaches beyond the end of the file")
        self.file.seek(self.start + offset)
        data = self.file.read(size)
        if len(data) != size:
            raise _failed(f"the file is cut short: got {len(data)} bytes, expected {size}")
        return data

    def _find_directory(self) -> tuple[int, int, int]:
        """Returns the number of records, and size and offset of the directory."""
        length = self.end - self.start
        tail_size = min(length, 22 + 0xFFFF)
        tail = self._bytes(length - tail_size, tail_size)
        place = tail.rfind(b"PK\x05\x06")
        if place < 0 or len(tail) - place < 22:
            raise _failed("failed finding central directory")
        _, disk, first, here, count, size, offset, comment = struct.unpack("<4sHHHHIIH", tail[place : place + 22])
        at = length - tail_size + place
        if disk or first or here != count or at + 22 + comment != length:
            raise _failed("failed finding central directory")
        if 0xFFFF in (count,) or 0xFFFFFFFF in (size, offset):
            return self._find_wide_directory(at)
        if offset + size > at:
            raise _failed("failed finding central directory")
        return count, size, offset

    def _find_wide_directory(self, at: int) -> tuple[int, int, int]:
        magic, disk, place, disks = struct.unpack("<4sIQI", self._bytes(at - 20, 20))
        if magic != b"PK\x06\x07" or disk or disks != 1:
            raise _failed("failed finding central directory")
        fields = struct.unpack("<4sQHHIIQQQQ", self._bytes(place, 56))
        if fields[0] != b"PK\x06\x06" or fields[6] != fields[7] or fields[4] or fields[5]:
            raise _failed("failed finding central directory")
        return fields[7], fields[8], fields[9]

    def _read_directory(self, data: bytes, count: int) -> dict[str, Record]:
        found: dict[str, Record] = {}
        place = 0
        for number in range(count):
            record, place = _read_entry(data, place)
            if number == 0:
                self.folder = record.name.partition("/")[0] + "/" if "/" in record.name else ""
            name = _safe_name(record.name, self.folder)
            if name in found:
                raise _failed(f"record '{name}' appears twice")
            record.name = name
            found[name] = record
        if place != len(data):
            raise _failed("the directory does not hold the number of records it claims")
        return found

    def _check_layout(self, directory: int) -> None:
        """Records must lie one after the other: two that share bytes are a way to claim more than there is."""
        reached = 0
        for record in sorted(self.records.values(), key=lambda record: record.header):
            if record.header < reached:
                raise _failed(f"record '{record.name}' overlaps another")
            reached = record.header + 30 + record.packed
        if reached > directory:
            raise _failed("the last record overlaps the directory")

    def _check_inflation(self) -> None:
        packed = size = 0
        for record in self.records.values():
            if record.method == _DEFLATED:
                packed += record.packed
                size += record.size
            elif record.method != _STORED:
                raise _failed(
                    f"record '{record.name}' is compressed by method {record.method}, expected stored or deflated"
                )
            elif record.packed != record.size:
                raise _failed(f"record '{record.name}' is stored but has two sizes")
        if size > max(_LONGEST_INFLATED, 32 * packed):
            raise _failed(f"{packed} compressed bytes claim to be {size}: refused as a decompression bomb")

    def _read_checksums(self) -> dict[str, int]:
        self.checksums = {}
        if CHECKSUMS not in self.records:
            return {}
        import json

        try:
            read = json.loads(self.read(CHECKSUMS))["crc32"]
            checksums = {name: value for name, value in read.items() if type(name) is str and type(value) is int}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _failed("the record of checksums is damaged") from None
        missing = [name for name in checksums if name not in self.records]
        if missing:
            raise _failed(f"record '{missing[0]}' is missing")
        return checksums


def _read_entry(data: bytes, place: int) -> tuple[Record, int]:
    if len(data) - place < 46:
        raise _failed("the directory is cut short")
    fields = struct.unpack("<4sHHHHHHIIIHHHHHII", data[place : place + 46])
    magic, flags, method, checksum, packed, size = fields[0], fields[3], fields[4], fields[7], fields[8], fields[9]
    name_length, extra_length, comment_length, disk, header = fields[10], fields[11], fields[12], fields[13], fields[16]
    stop = place + 46 + name_length + extra_length + comment_length
    if magic != b"PK\x01\x02" or stop > len(data) or disk or flags & 1:
        raise _failed("the directory is damaged")
    try:
        name = data[place + 46 : place + 46 + name_length].decode()
    except UnicodeDecodeError:
        raise _failed("a record's name is not UTF-8") from None
    extra = data[place + 46 + name_length : place + 46 + name_length + extra_length]
    packed, size, header = _wide_fields(extra, packed, size, header)
    return Record(name, header, packed, size, method, checksum), stop


def _wide_fields(extra: bytes, packed: int, size: int, header: int) -> tuple[int, int, int]:
    """Returns the sizes and the offset, from the ZIP64 extra field where the 32-bit ones are full."""
    if 0xFFFFFFFF not in (packed, size, header):
        return packed, size, header
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[place : place + 4])
        if kind == 1:
            values = [value for (value,) in struct.iter_unpack("<Q", extra[place + 4 : place + 4 + length // 8 * 8])]
            try:
                size = values.pop(0) if size == 0xFFFFFFFF else size
                packed = values.pop(0) if packed == 0xFFFFFFFF else packed
                header = values.pop(0) if header == 0xFFFFFFFF else header
            except IndexError:
                break
            return packed, size, header
        place += 4 + length
    raise _failed("the directory is damaged")


def _safe_name(full_name: str, folder: str) -> str:
    """Returns a record's name within the archive's folder; names that could mean a place outside are refused."""
    if not full_name.startswith(folder):
        raise _failed(f"record '{full_name}' lies outside the folder '{folder}'")
    parts = full_name.split("/")
    if ".." in parts or "" in parts[:-1] or "\\" in full_name or "\0" in full_name or len(full_name) > 4096:
        raise _failed(f"refused the record name '{full_name[:100]}'")
    return full_name[len(folder) :]


def _inflated(data: bytes, record: Record) -> bytes:
    inflater = zlib.decompressobj(-15)
    try:
        out = inflater.decompress(data, record.size + 1)
    except zlib.error as error:
        raise _failed(f"record '{record.name}' cannot be decompressed: {error}") from None
    if len(out) != record.size:
        raise _failed(f"record '{record.name}' is not of the size it claims")
    return out
