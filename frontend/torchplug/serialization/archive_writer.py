"""Writes the zip archives that hold checkpoints: records stored uncompressed, each starting at a multiple of 64 bytes."""

from __future__ import annotations

import struct
import zlib
from typing import Any

__all__ = ["ALIGNMENT", "CHECKSUMS", "ArchiveWriter"]

ALIGNMENT = 64
"""Tensors may be mapped into memory straight from the file; 64 bytes suit every vector unit."""
CHECKSUMS = ".data/torchplug_checksums"
"""The record with a checksum per record; PyTorch does not look at it."""

_LIMIT = 0xFFFFFFFF
_UTF8 = 0x0800
_EPOCH = (0, 33)
"""1980-01-01 00:00, the first time a zip archive can name: equal contents give equal files."""
_PADDING_ID = b"FB"
_PIECE = 1 << 24


class ArchiveWriter:
    """Writes records one after the other to anything with a `write`; nothing is sought."""

    def __init__(self, stream: Any, name: str) -> None:
        self.stream = stream
        self.name = name
        self.position = 0
        self.checksums: dict[str, int] = {}
        self._directory: list[bytes] = []

    def write_record(self, name: str, data: Any) -> None:
        """Writes one record; `data` is bytes or a contiguous array of them."""
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        checksum = zlib.crc32(view)
        full_name = f"{self.name}/{name}".encode()
        wide = len(view) >= _LIMIT
        start = self.position
        self._write(_local_header(full_name, checksum, len(view), start))
        # In pieces: some streams copy what they are given.
        for place in range(0, len(view), _PIECE):
            self._write(view[place : place + _PIECE])
        self._directory.append(_central_header(full_name, checksum, len(view), start, wide))
        self.checksums[name] = checksum

    def close(self) -> None:
        """Writes the record of checksums and the directory; the stream stays open."""
        import json

        self.write_record(CHECKSUMS, json.dumps({"crc32": self.checksums}).encode())
        start = self.position
        directory = b"".join(self._directory)
        self._write(directory)
        self._write(_end_records(len(self._directory), len(directory), start))

    def _write(self, data: Any) -> None:
        self.stream.write(data)
        self.position += len(data)


def _local_header(name: bytes, checksum: int, size: int, start: int) -> bytes:
    extra = struct.pack("<HHQQ", 1, 16, size, size) if size >= _LIMIT else b""
    padding = -(start + 30 + len(name) + len(extra) + 4) % ALIGNMENT
    extra += _PADDING_ID + struct.pack("<H", padding) + b"Z" * padding
    shown = min(size, _LIMIT)
    version = 45 if size >= _LIMIT else 20
    header = struct.pack(
        "<4sHHHHHIIIHH", b"PK\x03\x04", version, _UTF8, 0, *_EPOCH, checksum, shown, shown, len(name), len(extra)
    )
    return header + name + extra


def _central_header(name: bytes, checksum: int, size: int, start: int, wide: bool) -> bytes:
    long_fields = b"".join(struct.pack("<Q", value) for value in (size, size) if wide)
    if start >= _LIMIT:
        long_fields += struct.pack("<Q", start)
    extra = struct.pack("<HH", 1, len(long_fields)) + long_fields if long_fields else b""
    shown = min(size, _LIMIT)
    version = 45 if extra else 20
    header = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", version, version, _UTF8, 0, *_EPOCH, checksum, shown, shown, len(name), len(extra),
        0, 0, 0, 0, min(start, _LIMIT),
    )  # fmt: skip
    return header + name + extra


def _end_records(count: int, size: int, start: int) -> bytes:
    records = b""
    if count >= 0xFFFF or size >= _LIMIT or start >= _LIMIT:
        records += struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
        records += struct.pack("<4sIQI", b"PK\x06\x07", 0, start + size, 1)
    shown = min(count, 0xFFFF)
    return records + struct.pack(
        "<4sHHHHIIH", b"PK\x05\x06", 0, 0, shown, shown, min(size, _LIMIT), min(start, _LIMIT), 0
    )
