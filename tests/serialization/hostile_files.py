"""Files made to do harm: each must end in a clean exception, quickly, in little memory, with nothing started or written."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

__all__ = ["HOSTILE", "archive", "parts_of"]

CHECKSUMS = ".data/torchplug_checksums"


def archive(parts, folder="archive", compression=zipfile.ZIP_STORED):
    """Returns a zip archive of records by name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, data in parts.items():
            file.writestr(f"{folder}/{name}" if folder else name, data)
    return stream.getvalue()


def parts_of(data):
    """Returns the records of a file without their checksums."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        names = {name.partition("/")[2]: name for name in file.namelist()}
        return {name: file.read(full) for name, full in names.items() if name != CHECKSUMS}


def _pickled(code, **records):
    return archive({"data.pkl": b"\x80\x02" + code + b".", "version": b"3\n", "byteorder": b"little", **records})


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def _calls(function, *args):
    return archive({"data.pkl": pickle.dumps(Call(function, *args), 2), "version": b"3\n"})


def _named(module, name, args=b"("):
    return _pickled(f"c{module}\n{name}\n".encode() + args + b"tR")


def _text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _int(value):
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def _ints(values):
    return b"(" + b"".join(_int(value) for value in values) + b"t"


def _storage(numel=4, key="0", kind="FloatStorage", location="cpu"):
    return b"(" + _text("storage") + f"ctorch\n{kind}\n".encode() + _text(key) + _text(location) + _int(numel) + b"tQ"


def _tensor(size=(4,), stride=(1,), offset=0, numel=4, data=b"\0" * 16, **names):
    code = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + _storage(numel, **names) + _int(offset) + _ints(size) + _ints(stride)
    )
    code += b"\x89ccollections\nOrderedDict\n)RtR"
    return _pickled(code, **{"data/0": data})


def _legacy(code, keys=b"]", tail=b""):
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return head + b"\x80\x02" + code + b".\x80\x02" + keys + b"." + tail


def _bomb():
    return archive({"data.pkl": b"\x80\x02N.", "data/0": b"\0" * (100 << 20)}, compression=zipfile.ZIP_DEFLATED)


def _claimed_size(claim):
    data = bytearray(_tensor())
    place = data.index(b"PK\x01\x02")
    while data[place + 46 : place + 46 + 14] != b"archive/data/0":
        place = data.index(b"PK\x01\x02", place + 1)
    data[place + 20 : place + 28] = struct.pack("<II", claim, claim)
    return bytes(data)


def _twice():
    stream = io.BytesIO()
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as file:
        warnings.simplefilter("ignore")
        file.writestr("archive/data.pkl", b"\x80\x02N.")
        file.writestr("archive/data.pkl", b"\x80\x02K\x01.")
    return stream.getvalue()


def _overlapping():
    """Two directory entries that claim the same bytes."""
    data = bytearray(archive({"data.pkl": b"\x80\x02N.", "data/0": b"a" * 64, "data/1": b"a" * 64}))
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    third = data.index(b"PK\x01\x02", second + 4)
    data[third + 42 : third + 46] = data[second + 42 : second + 46]
    return bytes(data)


def _many_records():
    name = b"archive/data.pkl"
    directory = (
        struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0)
        + name
    )
    count = 0xFFFE
    body = b"PK\x03\x04" + b"\0" * 60
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory) * count, len(body), 0)
    return body + directory * count + end


def _wide_lies():
    end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1 << 60, 1 << 60, 1 << 62, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 30, 1)
    last = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return b"PK\x03\x04" + b"\0" * 26 + end + locator + last


def _checksum_record(data):
    return archive({"data.pkl": b"\x80\x02N.", CHECKSUMS: data})


def _colliding_keys():
    modulus = (1 << 61) - 1
    items = b"".join(_int(modulus * number) + b"N" for number in range(1, 20000))
    return _pickled(b"}(" + items + b"u")


HOSTILE = {
    # Calls of what must not be called.
    "os.system": lambda: _calls(__import__("os").system, "touch /tmp/torchplug_was_here"),
    "posix.system named": lambda: _named("posix", "system", b"(" + _text("touch /tmp/torchplug_was_here")),
    "eval": lambda: _calls(eval, "__import__('os').system('touch /tmp/torchplug_was_here')"),
    "exec in Python 2's name": lambda: _named("__builtin__", "exec", b"(" + _text("import os")),
    "subprocess": lambda: _calls(__import__("subprocess").Popen, ["touch", "/tmp/torchplug_was_here"]),
    "open": lambda: _calls(open, "/tmp/torchplug_was_here", "w"),
    "getattr": lambda: _named("builtins", "getattr"),
    "__import__": lambda: _named("builtins", "__import__", b"(" + _text("os")),
    "importlib": lambda: _named("importlib", "import_module", b"(" + _text("os")),
    "runpy": lambda: _named("runpy", "_run_code"),
    "socket": lambda: _named("socket", "create_connection"),
    "ctypes": lambda: _named("ctypes", "string_at", b"(" + _int(0)),
    "pickle in pickle": lambda: _named("pickle", "loads", b"(" + _text("cos\nsystem\n")),
    "numpy load": lambda: _named("numpy", "load", b"(" + _text("/etc/passwd")),
    "torch.load": lambda: _named("torch", "load", b"(" + _text("/etc/passwd")),
    "torch.hub": lambda: _named("torch.hub", "load"),
    "torch.utils gadget": lambda: _named("torch.utils.cpp_extension", "load"),
    "torch.jit.load": lambda: _named("torch.jit", "load"),
    "torch.storage._load_from_bytes": lambda: _named("torch.storage", "_load_from_bytes"),
    "torch.from_file": lambda: _named("torch", "from_file", b"(" + _text("/etc/passwd")),
    "torchplug module": lambda: _named("torchplug.serialization.saving", "save", b"("),
    "dotted name": lambda: _named("torch", "serialization.os.system", b"(" + _text("true")),
    "module as a name": lambda: _named("torch.nn", "modules"),
    "relative module": lambda: _named("torch.nn...os", "system"),
    "stack global": lambda: _pickled(b"\x8c\x02os\x8c\x06system\x93(" + _text("true") + b"tR"),
    "a layer is not called": lambda: _named("torch.nn.modules.linear", "Linear", b"(" + _int(1 << 40) + _int(1 << 40)),
    "a function of torch.nn is not called": lambda: _named("torch.nn.functional", "one_hot", b"(" + _int(1)),
    "a method of a rebuilt object": lambda: _pickled(b"ccollections\nOrderedDict\n)R(tR"),
    "a storage is not called": lambda: _named("torch", "FloatStorage", b"(" + _int(1 << 40)),
    # Filling what must not be filled.
    "attributes of a function": lambda: _pickled(b"ctorch._utils\n_rebuild_tensor_v2\n}" + _text("__code__") + b"Nsb"),
    "attributes of a class": lambda: _pickled(b"ctorch.nn.modules.linear\nLinear\n}" + _text("forward") + b"Nsb"),
    "slots of a class": lambda: _pickled(b"ctorch\nTensor\nN}" + _text("add") + b"Ns\x86b"),
    "attributes of a dtype": lambda: _pickled(b"ctorch\nfloat32\nN}" + _text("itemsize") + b"K\x01s\x86b"),
    "a tensor's attributes": lambda: _pickled(b"ctorch._tensor\n_rebuild_from_type_v2\n(NNNNtR"),
    "new object of any class": lambda: _pickled(b"cio\nFileIO\n" + _text("/etc/passwd") + b"\x85\x81"),
    "new tensor": lambda: _pickled(b"ctorch\nTensor\n)\x81"),
    # Memory outside the storage.
    "size beyond the storage": lambda: _tensor(size=(5,)),
    "stride beyond the storage": lambda: _tensor(stride=(2,)),
    "offset beyond the storage": lambda: _tensor(offset=4),
    "negative offset": lambda: _tensor(offset=-1),
    "negative size": lambda: _tensor(size=(-4,)),
    "negative stride": lambda: _tensor(stride=(-1,), offset=3),
    "huge size": lambda: _tensor(size=(1 << 62,)),
    "huge product of sizes": lambda: _tensor(size=(1 << 20,) * 5, stride=(0,) * 5),
    "size that wraps around": lambda: _tensor(size=((1 << 64) + 4,)),
    "stride that wraps around": lambda: _tensor(size=(2, 2), stride=(1 << 63, 1)),
    "fewer strides than sizes": lambda: _tensor(size=(2, 2)),
    "a hundred dimensions": lambda: _tensor(size=(1,) * 100, stride=(1,) * 100),
    "storage larger than its record": lambda: _tensor(numel=8),
    "storage smaller than its record": lambda: _tensor(numel=2, size=(2,)),
    "storage of a billion gigabytes": lambda: _tensor(numel=1 << 60),
    "negative storage": lambda: _tensor(numel=-4),
    "storage of another type of element": lambda: _tensor(kind="DoubleStorage"),
    "storage key with a path": lambda: _tensor(key="../../etc/passwd"),
    "storage on a strange device": lambda: _tensor(location="os.system"),
    "no such storage": lambda: _tensor(key="7"),
    "persistent id of a module": lambda: _pickled(b"(" + _text("module") + b"cos\nsystem\ntQ"),
    "persistent id that is no tuple": lambda: _pickled(_text("storage") + b"Q"),
    # Archives that lie.
    "zip bomb": _bomb,
    "claimed size": lambda: _claimed_size(1 << 31),
    "claimed size beyond 4 GB": lambda: _claimed_size(0xFFFFFFFF),
    "two records of one name": _twice,
    "records that overlap": _overlapping,
    "65534 records of one name": _many_records,
    "a directory of exabytes": _wide_lies,
    "path escape": lambda: archive({"../../tmp/torchplug_was_here": b"x", "data.pkl": b"\x80\x02N."}),
    "absolute path": lambda: archive({"data.pkl": b"\x80\x02N.", "/etc/passwd": b"x"}, folder=""),
    "backslashes": lambda: archive({"data.pkl": b"\x80\x02N.", "..\\..\\x": b"x"}),
    "no pickle": lambda: archive({"version": b"3\n"}),
    "TorchScript": lambda: archive({"constants.pkl": b"\x80\x02N.", "data.pkl": b"\x80\x02N."}),
    "unknown byte order": lambda: archive({"data.pkl": b"\x80\x02N.", "byteorder": b"middle"} | {"data/0": b""}),
    "checksums that are no JSON": lambda: _checksum_record(b"\xff\xfe"),
    "checksums nested without end": lambda: _checksum_record(b"[" * 100_000),
    "checksums of records that are not there": lambda: _checksum_record(b'{"crc32": {"data/9": 1}}'),
    # Pickles that take too much.
    "an integer of gigabytes": lambda: _pickled(b"\x8b\xff\xff\xff\x7f"),
    "a text of gigabytes": lambda: _pickled(b"X\xff\xff\xff\xff"),
    "a text of exabytes": lambda: _pickled(b"\x8d" + b"\xff" * 7 + b"\x7f"),
    "bytearray of a terabyte": lambda: _named("builtins", "bytearray", b"(" + _int(1 << 40)),
    "tuples nested a million deep, as a key": lambda: _pickled(b"}" + b")" + b"\x85" * 1_000_000 + b"Ns"),
    "frozensets nested deep": lambda: _pickled(b"(" * 50_000 + b"\x91" * 50_000),
    "keys that collide": _colliding_keys,
    "a list inside itself as a key": lambda: _pickled(b"}]q\x00h\x00ah\x00Ns"),
    "memo that is not there": lambda: _pickled(b"h\x05"),
    "empty stack": lambda: _pickled(b"R"),
    "a mark too few": lambda: _pickled(b"t"),
    "reaching below a mark": lambda: _pickled(b"N(0("),
    "two objects": lambda: _pickled(b"NN"),
    "unknown operation": lambda: _pickled(b"\xfe"),
    "text operation of protocol 0": lambda: _pickled(b"S'os'\n"),
    "instance of protocol 0": lambda: _pickled(b"(ios\nsystem\n"),
    "extension registry": lambda: _pickled(b"\x82\x01"),
    "out-of-band buffer": lambda: _pickled(b"\x97"),
    "protocol of the future": lambda: archive({"data.pkl": b"\x80\x63N."}),
    # NumPy's part.
    "NumPy objects": lambda: _named("numpy", "dtype", b"(" + _text("O8") + b"\x89\x88"),
    "NumPy structured type": lambda: _named("numpy", "dtype", b"(" + _text("f8,O") + b"\x89\x88"),
    "NumPy array too large": lambda: _pickled(
        b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tccollections\nOrderedDict\ntR(K\x01("
        + _int(1 << 40) + b"tcnumpy\ndtype\n(" + _text("f8") + b"\x89\x88tR\x89NtbC\x00"
    ),
    # The format before PyTorch 1.6.
    "legacy os.system": lambda: _legacy(b"cos\nsystem\n(" + _text("touch /tmp/torchplug_was_here") + b"tR"),
    "legacy wrong magic": lambda: pickle.dumps(12345, 2),
    "legacy storage too large": lambda: _legacy(b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu")
                                                + _int(1 << 40) + b"NtQ", b"]" + _text("0") + b"a", struct.pack("<q", 1 << 40)),
    "legacy storage missing": lambda: _legacy(b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu")
                                              + _int(4) + b"NtQ"),
    "legacy tar": lambda: b"\0" * 257 + b"ustar" + b"\0" * 250,
    "not a checkpoint": lambda: b"<html>not found</html>",
    "only zeros": lambda: bytes(4096),
}  # fmt: skip
