"""Writes the seeds of the fuzz targets: OUT/TARGET/NAME. Only the Python standard library; the same bytes every time.

usage: make_seeds.py SOURCE_FOLDER PROGRAM OUT
"""
import gzip
import hashlib
import io
import json
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import types
import zlib
from pathlib import Path

SOURCE, PROGRAM, OUT = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
FIXTURES = SOURCE / "tests/fixtures"


def put(target, name, data):
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


def put_all(target, texts):
    for number, text in enumerate(texts):
        put(target, f"{number:03d}", text)


# ---- safetensors ----


def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def make_safetensors():
    sizes = dict(BOOL=1, U8=1, I8=1, F8_E5M2=1, F8_E4M3=1, I16=2, U16=2, F16=2, BF16=2, I32=4, U32=4, F32=4, F64=8, I64=8, U64=8)
    every, at = {"__metadata__": {"format": "pt", "k": "v"}}, 0
    for name, size in sizes.items():
        every[name.lower()] = entry(name, [2], at, at + 2 * size)
        at += 2 * size
    two = {"a": entry("F32", [2], 0, 8), "b": entry("F32", [1, 1], 8, 12)}
    twelve = bytes(range(12))
    good = [safetensors(every, bytes(at)), safetensors(two, twelve), safetensors({}), safetensors("{}    "),
            safetensors({"s": entry("F64", [], 0, 8)}, bytes(8)), safetensors({"e": entry("F32", [0, 4], 0, 0)}),
            safetensors({"e": entry("F32", [0], 0, 0), "f": entry("I8", [0], 0, 0)}),
            safetensors({"r": entry("U8", [1] * 8, 0, 1)}, b"x")]
    bad = [b"", bytes(7), bytes(8), safetensors(two, twelve, 10 ** 6), safetensors(two, twelve, 2 ** 63),
           safetensors(two, twelve, 2 ** 64 - 1), safetensors(two, twelve, 101 << 20), safetensors(" {}"), safetensors("[]"),
           safetensors("{"), safetensors(b'{"\xff":1}'), safetensors('{"a\\u0000":1}'), safetensors(two, twelve + b"x"),
           safetensors(two, twelve[:-1]), safetensors('{"a":1,"a":2}'), safetensors('{"w":1,"\\u0077":2}'),
           safetensors("{" + '"a":[' * 70), safetensors({"__metadata__": {"a": 1}}), safetensors({"__metadata__": []}),
           safetensors({"a": 1}), safetensors({"a": {}}), safetensors({"a": entry("F33", [1], 0, 4)}, bytes(4)),
           safetensors({"a": entry("F32", "x", 0, 4)}, bytes(4)), safetensors({"a": entry("F32", [1] * 9, 0, 4)}, bytes(4)),
           safetensors({"a": entry("F32", [-1], 0, 4)}, bytes(4)), safetensors({"a": entry("F32", [1.5], 0, 4)}, bytes(4)),
           safetensors({"a": entry("F32", [2 ** 32, 2 ** 32], 0, 4)}, bytes(4)), safetensors({"a": entry("F32", [2], 0, 4)}, bytes(4)),
           safetensors({"a": entry("F32", [1], 4, 0)}, bytes(4)), safetensors({"a": entry("F32", [1], -4, 0)}, bytes(4)),
           safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, bytes(4)),
           safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": ["0", 4]}}, bytes(4)),
           safetensors({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 2, 6)}, bytes(6)),
           safetensors({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 6, 10)}, bytes(10)),
           safetensors({"a": entry("F32", [1], 4, 8)}, bytes(8))]
    put_all("safetensors", good + bad)
    for name in ("graph_gcn.safetensors",):
        put("safetensors", name, (FIXTURES / name).read_bytes())


# ---- PyTorch ----


class Storage:
    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count


class Tensor:
    """Pickled as torch does: a call of _rebuild_tensor_v2 on a persistent storage."""

    def __init__(self, storage, offset=0, shape=(2,), strides=(1,), function="_rebuild_tensor_v2"):
        self.storage, self.call = storage, (offset, tuple(shape), tuple(strides))
        self.function = function

    def __reduce__(self):
        function = getattr(sys.modules["torch._utils"], self.function)
        more = (False, {}) if self.function == "_rebuild_tensor_v2" else ()
        return function, (self.storage, *self.call, *more)


class Parameter:
    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_parameter, (self.tensor, True, {})


def fake_torch():
    """Modules with the names that torch has, so that pickle writes them."""
    for module, names in {"torch._utils": ["_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter"],
                          "torch": ["FloatStorage", "HalfStorage", "LongStorage", "BoolStorage", "device", "Size", "float32"]}.items():
        made = sys.modules[module] = types.ModuleType(module)
        for name in names:
            scope = {}
            exec(f"def {name}(*a): pass", scope)
            scope[name].__module__ = module
            scope[name].__qualname__ = name
            setattr(made, name, scope[name])
    sys.modules["torch"]._utils = sys.modules["torch._utils"]


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        return ("storage", getattr(sys.modules["torch"], value.kind), value.key, "cpu", value.count)


class LegacyPickler(Pickler):
    def persistent_id(self, value):
        found = super().persistent_id(value)
        return (*found, None) if found else None


def pickled(value, protocol=2, pickler=Pickler):
    out = io.BytesIO()
    pickler(out, protocol).dump(value)
    return out.getvalue()


def make_torch():
    import argparse
    import collections
    fake_torch()
    f, h = Storage("FloatStorage", "0", 16), Storage("HalfStorage", "1", 32)
    plain = collections.OrderedDict([("w", Tensor(f)), ("v", Tensor(f, 2, (2, 3), (3, 1))), ("t", Tensor(h, 0, (3, 2), (1, 3))),
                                     ("s", Tensor(f, 5, (), ())), ("e", Tensor(f, 0, (0, 4), (4, 1))), ("p", Parameter(Tensor(f))),
                                     ("o", Tensor(f, 1, (2,), (1,), "_rebuild_tensor"))])
    rich = {"model": plain, "args": argparse.Namespace(a=1, b=[1.5, None, True, False], c=(1, 2, 3, 4), d={3}, e=b"bytes"),
            "epoch": 300, "big": 1 << 90, "text": "x" * 300, "nested": {"a": {"b": Tensor(f)}, 3: Tensor(h)}, "minus": -5, "huge": 70000,
            "frozen": frozenset([1]), "i": 1 << 40}
    tied = {"a": Tensor(f, 0, (16,), (1,)), "r": Tensor(f, 0, (8, 8), (0, 1))}
    state = {"state_dict": {"x": Tensor(f)}, "module": 1}
    bad = [{"a": Tensor(f, 0, (17,), (1,))}, {"a": Tensor(f, 0, (2,), (1, 1))}, {"a": Tensor(f, 0, (1,) * 9, (1,) * 9)}, {"a": 1}, [1, 2],
           {"a": Tensor(f, 0, (1 << 40, 1 << 40), (1, 1))}, {"a": Tensor(Storage("FloatStorage", "9", 16))}, {"a": Tensor(Storage("FloatStorage", "0", 20))}]
    for number, value in enumerate([plain, rich, tied, state, *bad]):
        for protocol in (2, 4):
            put("torch", f"zip-{number:02d}-{protocol}", b"W" + pickled(value, protocol))
    handmade = [b"\x80\x02.", b"\x80\x02c os\nsystem\n.", b"\x80\x02cposix\nsystem\n(U\x04trueR.", b"\x80\x02}q\x00h\x00.", b"\x80\x02h\x05.",
                b"\x80\x02(1(0.", b"\x80\x02]2a.", b"\x80\x02(K\x01K\x02t.", b"\x80\x02}(K\x01u.", b"\x80\x02N.", b"\x80\x02\x8b\x04\0\0\0abcd.",
                b"\x80\x02G" + bytes(8) + b".", b"\x80\x02X\xff\xff\xff\x7fa.", b"\x80\x02\x8d" + b"\xff" * 8 + b".", b"\x80\x02B\2\0\0\0ab.",
                b"\x80\x04\x95" + b"\xff" * 8 + b".", b"\x80\x02(\x91.", b"\x80\x05.", b"\x80\x02\x8f(K\x01\x90.", b"\x80\x02\x8e\1\0\0\0\0\0\0\0a.",
                b"\x80\x02r\xff\xff\xff\x7f.", b"I1\n.", b"\x80\x02]K\x01s.", b"\x80\x02}K\x01a.", b"\x80\x02)\x81.", b"\x80\x02N}b.",
                b"\x80\x02NQ.", b"\x80\x02T\1\0\0\0ab\x93."]
    for number, text in enumerate(handmade):
        put("torch", f"hand-{number:02d}", b"W" + text)
    legacy = {name: Tensor(Storage("FloatStorage", key, 4), 0, (2, 2), strides) for name, key, strides in (("a", "k0", (2, 1)), ("b", "k1", (1, 2)))}
    start = pickled(0x1950a86a20f9469cfc6c) + pickled(1001) + pickled({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2}})
    body = pickled(legacy, 2, LegacyPickler) + pickled(["k0", "k1"])
    storage = struct.pack("<Q", 4) + bytes(16)
    for number, data in enumerate([start + body + 2 * storage, start + body + storage, start + body + 2 * storage + b"x",
                                   start + body + struct.pack("<Q", 5) + bytes(20), pickled(1) + body, start[:-4] + body,
                                   start + pickled(legacy, 2, LegacyPickler) + pickled(["k0", "k0"]) + 2 * storage,
                                   start + pickled(legacy, 2, LegacyPickler) + pickled(3),
                                   pickled(0x1950a86a20f9469cfc6c) + pickled(1000) + body,
                                   pickled(0x1950a86a20f9469cfc6c) + pickled(1001) + pickled({"little_endian": False}) + body]):
        put("torch", f"legacy-{number:02d}", data)
    for file in FIXTURES.glob("torch_*.pt"):
        put("torch", file.name, file.read_bytes())
    put("torch", "nothing", b"")


# ---- npy ----


def npy(header, data=b"", version=(1, 0), length=None):
    text = header.encode("latin-1")
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", size) + text + data


def make_npy():
    head = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n"
    texts = [npy(head % ("<f4", "False", "(2,)"), bytes(8)), npy(head % ("<f4", "False", "()"), bytes(4)), npy(head % ("|b1", "False", "(2, 2)"), bytes(4), (2, 0)),
             npy(head % ("<f8", "True", "(1,)"), bytes(8)), npy(head % (">f4", "False", "(1,)"), bytes(4)), npy(head % ("|O", "False", "(1,)"), bytes(8)),
             npy(head % ("<U3", "False", "(1,)"), bytes(12)), npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", bytes(4)),
             npy(head % ("<f4", "False", "(65536, 65536)")), npy(head % ("<f4", "False", "(-1,)"), bytes(4)), npy(head % ("<f4", "False", "(99999999999999999999,)")),
             npy(head % ("<f4", "False", "(1)"), bytes(4)), npy(head % ("<f4", "False", "(01,)"), bytes(4)), npy(head % ("<f4", "False", "(1,1,1,1,1,1,1,1,1)"), bytes(4)),
             npy(head % ("<f4", "Maybe", "(1,)"), bytes(4)), npy("{'descr': '<f4'}", bytes(4)), npy("{'descr': '<f4', 'descr': '<f4'}"), npy("{'other': 1}"),
             npy("{'descr': '<f4' 'shape': ()}"), npy("{}x"), npy("(1,)"), npy("", b"", (1, 0), 60000), npy("", b"", (4, 0)), npy(" " * 11000, b"", (2, 0)), b"\x93NUMPY",
             npy('{"descr": "<i8", "fortran_order": False, "shape": (1,)}', bytes(8), (3, 0)), npy("{'descr\\n': 1}"), npy("{'descr' '<f4'}"), npy("{'descr': 3}"), b"",
             npy(head % ("<f4", "False", "(4294967296, 4294967296)"))]
    put_all("npy", texts)
    for number, text in enumerate(texts):
        put("npy", f"zip-{number:03d}", b"W" + text)
    for file in (FIXTURES / "npy").iterdir():
        put("npy", file.name, file.read_bytes())


# ---- JSON ----


def make_config():
    texts = ["{}", "[]", "null", "true", "3", "-0", "1e999", '"a"', "", " ", "{", "[1,]", "[1 2]", '{"a":1,"a":2}', '{"a":{"b":[1,2.5e-3,"\\u00e4\\n",null,true,false]}}',
             '"\\ud800"', '"\\u0000"', "\ufeff{}", "[" * 70, '{"hidden_size":1e3}', '{"hidden_size":"8"}', '{"hidden_size":[]}', '{"hidden_size":{}}',
             '{"hidden_size":true}', "[1]x", "01", "'a'", "NaN", '{"\\u0061":1,"a":2}', "9223372036854775808", '["\\ud834\\udd1e", "\\"\\\\/\\b\\f\\r\\t"]']
    put_all("config", texts)
    put("config", "bad-utf8", b'"\xff\xfe"')
    facts = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 16, "layer_norm_eps": 1e-5, "token_dropout": True,
             "hidden_act": "gelu", "position_embedding_type": "rotary", "is_decoder": False, "linear_attention_eps": 1e-6, "vocab_size": 30,
             "max_position_embeddings": 40, "learnable_beta": False, "emb_layer_norm_before": False, "num_random_features": 8, "num_feature_map": 8}
    for key in facts:
        for name, value in (("text", "x"), ("minus", -1), ("huge", 2 ** 62), ("null", None), ("real", 0.5), ("none", {})):
            put("config", f"{key}-{name}", json.dumps({**facts, key: value}))
    for folder in sorted((FIXTURES / "encoders").glob("*/config.json")):
        text = folder.read_text()
        for blanks in range(6):  # the size chooses the family
            put("config", f"{folder.parent.name}-{blanks}", text + " " * blanks)


# ---- texts ----


def bgzf(text):
    def block(data):
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = packer.compress(data) + packer.flush()
        return (b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25) + body
                + struct.pack("<II", zlib.crc32(data), len(data)))
    return block(text) + block(b"")


def packed(target, text):
    for name, data in {"gz": gzip.compress(text, mtime=0), "bgzf": bgzf(text)}.items():
        put(target, name, data)
        put(target, name + "-cut", data[:-6])
        put(target, name + "-behind", data + b"trailing")
        put(target, name + "-crc", data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    put(target, "gz-two", 2 * gzip.compress(text, mtime=0))


def make_fasta():
    put_all("fasta", [">a\nACGU\n", ">a b c\r\nACGU\r\nNNRY\r\n>b\r\nGG", ">a\rAC\r>b\rGU\r", ">", "> \n", "> a\nAC", ">a\n>b\n\n>c\nA", "", "\n\n  \n>a\nA", "AC\n>a\nA",
                      "@a\nAC\n+\nII\n", ">a\nA\0C", "\0", ">\0", "\ufeff>a\nAC", ">ä\nACä", ">a\nAC GU 12 34\n", ">a\nAC>GU\n", ">a\nMKV*\n>b\nM*V|AC\n>c\nUOBZJX-._\n",
                      ">a\nacgtu\n", ">a\nAC|GU\n>b\n|A", ">a\n\v\f\x01AC", "  >a\nAC", ">" + "n" * 5000 + "\nA", ">a\n" + "A" * 70000, ";a\n>b\nA", ">a\nRYSWKMBDHVN\nI"])
    put("fasta", "utf16", ">a\nAC".encode("utf-16"))
    put("fasta", "mark", b"\xef\xbb\xbf")
    packed("fasta", b">a\nACGU\n>b\nGGCC\n")


def make_table():
    put_all("table", ["id_a\tid_b\tlabel\na\tb\t1\n", "id,label\r\na,0.5\r\n\r\nb,-2e-3\r\n", 'id,label\n"a ""b"" c",1\n"x\ny",2\n', 'id,label\n"open,1\n', 'id,label\na"b,1\n',
                      'id,label\n"a"b,1\n', "id\tlabel\na\n", "id\tid\n", "", "\n\n", "label\n1e999\n", "label\nnan\n", "label\ninf\n", "label\n1,5\n", "label\n\t\n", "label\n.5\n5.\n+1\n-0\n",
                      "label\n1e\n", "label\n1e+\n", "label\n.\n", "label\n 1\n", "a\rb\n", "a\0b", "\ufeffid\tlabel\na\t1", "label\n" + "1" * 400 + "\n", "x,y,z\n,,\n1,2\n",
                      "a," * 40 + "b\n", '"a","b"\n1,2', '"q""q",label\nx,"1"\n', "id\tlabel\na\t0x10\n", ",".join("c%d" % i for i in range(10001)) + "\n", "label\n1\n\n2", "label,\n1,\n"])
    put("table", "utf16", "id\tlabel".encode("utf-16"))
    packed("table", b"id\tlabel\na\t1\nb\t2\n")


def make_smiles():
    put_all("smiles", ["C", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "C[C@@H](N)C(=O)O", "F/C(Cl)=C\\c1ccc(Br)cc1", "O=S(=O)(N1CCOCC1)c1ccc2[nH]ccc2c1",
                       "[Na+].[O-]C(=O)CI", "C#C", "[13CH4]", "[2H]O[2H]", "[Fe+2]", "C%12CCCCC%12", "C%(100)CC%(100)", "", " ", "C name", "C |x|", "*", "[R]", "C*", "C(", "C)", "C1CC", "C%", "C%1",
                       "C11", "C1CC=1", "[", "[C", "[Xx]", "[999C]", "[C+99]", ".", "C.", ".C", "c1cccc1", "C->D", "C>>C", "C" * 5001, "(" * 300, "C" + "(C" * 250, "[C@SP1](F)(Cl)(Br)I",
                       "C:C", "[cH-]1cccc1", "B", "P", "S", "s1cccc1", "[se]1cccc1", "C$C", "C~C", "@", "[U]", "N#N", "[H][H]", "[H+]", "ä", "C\tC", "C\nC", "[C:1]", "BrBr", "OCl(=O)(=O)=O",
                       "C[N+](C)(C)C", "c1ccc2ccccc2c1", "C1CC1C1CC1", "[C@](F)(Cl)(Br)I", "C/C=C/C", "C/C=C\\C", "CC" * 550])


def make_tokenizer():
    def put_case(number, name, *parts):
        put("tokenizer", f"{number}-{name}", bytes([number]) + b"\xff".join(part.encode() if isinstance(part, str) else part for part in parts))

    lines = "<cls>\n<pad>\n<eos>\n<unk>\nA\nC\nG\nU\n<mask>\nN\nLA\nR\n"
    text = "ACGUN xy<mask>LA\u00e4"
    vocabulary = {token: i for i, token in enumerate(lines.split())}
    json_file = {"model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
                 "added_tokens": [{"id": 8, "content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False}, {"id": 12, "content": "<x>"}]}
    for number in (0, 1):
        put_case(number, "lines", lines, text)
        put_case(number, "mark", "\ufeff" + lines.replace("\n", "\r\n"), text)
        put_case(number, "blank", lines + "\n\nZ", text)
        put_case(number, "twice", lines + "A\n", text)
        put_case(number, "long", lines + "q" * 1100, text)
        put_case(number, "utf8", lines.encode() + b"\xc3\n", text)
        put_case(number, "none", "", text)
        put_case(number, "special", "A\nC\n", text)
    put_case(2, "json", json.dumps(json_file), text)
    for name, change in {"model": {"model": 1}, "vocab": {"model": {"vocab": {"A": -1}}}, "big": {"model": {"vocab": {"A": 5000}}}, "same": {"model": {"vocab": {"A": 1, "B": 1}}},
                         "real": {"model": {"vocab": {"A": 0.5}}}, "added": {"added_tokens": 1}, "items": {"added_tokens": [1]}, "word": {"added_tokens": [{"id": 1, "content": "q", "single_word": True}]},
                         "flag": {"added_tokens": [{"id": 1, "content": "q", "lstrip": 3}]}, "other": {"added_tokens": [{"id": 3, "content": "A"}]}, "nothing": {"added_tokens": None}}.items():
        put_case(2, name, json.dumps({**json_file, **change}), text)
    put_case(2, "list", "[]", text)
    put_case(3, "list", "", text + "acgt")
    smiles = "<bos>\n<eos>\n<pad>\nC\nc\nN\n(\n)\n[nH]\n1\n=\nBr\n"
    put_case(4, "lines", smiles, "CC(=O)N[nH]Br%12x")
    put_case(5, "object", json.dumps({token: i for i, token in enumerate(smiles.split())}), "CCBr<eos>C")
    tokens = {"<s>": 0, "</s>": 1, "<unk>": 2, "a": 3, "b": 4, "ab": 5, "\u0120": 6, "\u0120a": 7, "abab": 8, "\u00c3": 9, "1": 10}
    bpe = {"model": {"type": "BPE", "vocab": tokens, "merges": ["a b", "ab ab", "\u0120 a"], "unk_token": "<unk>", "fuse_unk": True},
           "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}, "added_tokens": [{"id": 0, "content": "<s>"}, {"id": 1, "content": "</s>", "rstrip": True}], "normalizer": None}
    words = "abab a<s> ab\u00e4 12's  x!\n\t'll " + "ab" * 200
    for number in (6, 7):
        put_case(number, "bpe", json.dumps(bpe), words)
        for name, change in {"pairs": {"merges": [["a", "b"]]}, "missing": {"merges": ["a q"]}, "join": {"merges": ["b b"]}, "bad": {"merges": ["ab"]}, "number": {"merges": [1]}, "three": {"merges": [["a", "b", "c"]]},
                             "suffix": {"end_of_word_suffix": "x"}, "fallback": {"byte_fallback": True}, "unknown": {"unk_token": "zz"}, "ignore": {"ignore_merges": True}, "none": {"unk_token": None},
                             "twice": {"merges": ["a b", "a b"]}}.items():
            put_case(number, name, json.dumps({**bpe, "model": {**bpe["model"], **change}}), words)
        put_case(number, "whole", json.dumps({**bpe, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "use_regex": False}]}}), words)
        put_case(number, "other", json.dumps({**bpe, "pre_tokenizer": {"type": "Whitespace"}}), words)
        put_case(number, "normal", json.dumps({**bpe, "normalizer": {"type": "NFC"}}), words)
    for name, merges in {"good": "#version: 0.2\na b\nab ab\n", "bad": "ab\n", "missing": "a q\n", "blank": "a b\n\n", "three": "a b c\n", "none": ""}.items():
        put_case(8, name, json.dumps(tokens), merges, words)


# ---- model files ----

SMALL = ["--encoder-a", "onehot", "--encoder-b", "onehot", "--dim", "8", "--layers", "1", "--d-state", "1", "--d-conv", "1", "--expand", "1", "--head-dim", "1", "--epochs", "1", "--quiet"]


SMALL_PAIRS = [(i, (i * 5 + k) % 12) for i in range(12) for k in range(3)]


def write_small_set(folder):
    (folder / "a.fasta").write_text("".join(f">r{i}\n{'ACGU'[i % 4] * (3 + i)}GC\n" for i in range(12)))
    (folder / "b.fasta").write_text("".join(f">p{i}\n{'MKVW'[i % 4] * (4 + i)}DE\n" for i in range(12)))
    (folder / "pairs.tsv").write_text("id_a\tid_b\tlabel\n" + "".join(f"r{i}\tp{j}\t{(i + j) % 2}\n" for i, j in SMALL_PAIRS))


def write_isomers(folder):
    """Labels that the order of atoms alone tells, so that boosted trees see more than lengths and composition."""
    rna, molecules = range(11), [(k, end) for k in range(10) for end in ("CCO", "COC", "CCN", "CNC")]
    (folder / "a.fasta").write_text("".join(f">r{i}\n{'ACGU'[i % 4]}{'GUCA'[i // 4]}{'ACGUACGU'[:4 + i % 3]}\n" for i in rna))
    (folder / "b.tsv").write_text("id\tsmiles\n" + "".join(f"m{i}\t{'C' * k}{end}\n" for i, (k, end) in enumerate(molecules)))
    pairs = [(i % 11, i * 7 % 40) for i in range(120)]
    (folder / "pairs.tsv").write_text("id_a\tid_b\tlabel\n" + "".join(f"r{r}\tm{m}\t{4 + 2 * (m % 2)}.{(r * m) % 3}\n" for r, m in pairs))


def damage(kind, whole):
    """The header of a model file, and a function that puts one with other bytes in a tensor, from its end when at is below 0."""
    length = struct.unpack("<Q", whole[:8])[0]
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]

    def damaged(name, tensor, at, new):
        begin, end = header[tensor]["data_offsets"]
        at = begin + at if at >= 0 else end + at
        put("model", f"{kind}-{name}", safetensors(header, data[:at] + new + data[at + len(new):]))

    return header, damaged


def make_damaged_trees(whole):
    """Trees that lead nowhere or round and round, landmarks and features out of line."""
    header, damaged = damage("boosting", whole)
    assert "boosting.b.taken.smiles2" in header, "the trees see lengths or composition alone"
    for name, start in {"begin": 1, "below": -1, "far": 1 << 40}.items():
        damaged(f"start-{name}", "boosting.start", 0, struct.pack("<q", start))
        damaged(f"next-{name}", "boosting.start", 8, struct.pack("<q", start - 1))
        damaged(f"landmark-{name}", "boosting.a.landmark.start", 8, struct.pack("<q", start - 1))
    for name, number in {"below": -2, "zero": 0, "far": 1 << 20}.items():
        damaged(f"column-{name}", "boosting.column", 0, struct.pack("<i", number))
        damaged(f"left-{name}", "boosting.left", 0, struct.pack("<i", number))
        damaged(f"word-{name}", "boosting.a.landmark.column", 4, struct.pack("<i", number))
        damaged(f"taken-{name}", "boosting.b.taken.smiles2", 4, struct.pack("<i", number))
    damaged("count", "boosting.b.landmark.count", 0, struct.pack("<f", -1))


def make_damaged_kernels(whole):
    """The counts of the training molecules: entries that end too early or are too large, and starts out of line."""
    header, damaged = damage("kernel", whole)
    code = next(name for name in sorted(header) if name.startswith("kernel.a.code."))

    damaged("ends", code, -1, b"\xff")
    damaged("endless", code, 0, b"\xf0" + b"\xff" * 6)
    damaged("column", code, 0, b"\xf0\xff\x7f")
    damaged("count", code, -7, b"\0\x0f\xff\xff\xff\xff\x7f")
    damaged("large", code, 0, b"\xff\x05\x80\x10")
    for name, start in {"below": -1, "back": 0, "far": 1 << 40}.items():
        damaged(f"start-{name}", code.replace("code", "start"), 16, struct.pack("<q", start))
    damaged("place", "kernel.b.place", 4, struct.pack("<i", 1 << 20))


def make_model():
    variants = {"crossmamba": [], "tied": ["--tied"], "mlp": ["--fusion", "mlp"], "gated": ["--fusion", "gated"], "static": ["--fusion", "gated-static"], "bilinear": ["--fusion", "bilinear"],
                "ensemble": ["--ensemble", "2"], "isotonic": ["--calibration", "isotonic"], "notes": ["--notes", "a note", "--licence", "CC0"], "kernel": ["--predictor", "kernel"], "stack": ["--predictor", "stack:kernel/mlp"],
                "boosting": ["--predictor", "boosting"], "mean": ["--predictor", "mean:boosting/mlp"]}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_small_set(folder)
        for name, more in variants.items():
            model = folder / "model.safetensors"
            subprocess.run([PROGRAM, "train", "--task", "rna-protein", "--a", folder / "a.fasta", "--b", folder / "b.fasta", "--pairs", folder / "pairs.tsv", *SMALL, *(more if "--predictor" in more else ["--predictor", "network", *more]), "--model", model, "--force"],
                           check=True)
            put("model", name, model.read_bytes())
        whole = (OUT / "model/mlp").read_bytes()
        kernel = (OUT / "model/kernel").read_bytes()
        write_isomers(folder)
        subprocess.run([PROGRAM, "train", "--task", "rna-molecule", "--a", folder / "a.fasta", "--b", folder / "b.tsv", "--pairs", folder / "pairs.tsv", *SMALL[4:], "--encoder-a", "onehot",
                        "--encoder-b", "none", "--predictor", "boosting", "--model", model, "--force"], check=True)
        put("model", "boosting-all", model.read_bytes())
    make_damaged_kernels(kernel)
    make_damaged_trees((OUT / "model/boosting-all").read_bytes())
    put("model", "old", (FIXTURES / "model-0.1.0.safetensors").read_bytes())
    length = struct.unpack("<Q", whole[:8])[0]
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]
    card = json.loads(header["__metadata__"]["crossmamba"])

    def changed(name, change, tensors=None):
        copy = json.loads(json.dumps(card))
        change(copy)
        new = {**(tensors or header), "__metadata__": {"crossmamba": json.dumps(copy), "format": "pt"}}
        put("model", name, safetensors(new, data))

    changed("same", lambda c: None)
    for key in list(card):
        changed(f"without-{key}", lambda c: c.pop(key))
        changed(f"text-{key}", lambda c: c.update({key: "x"}))
        changed(f"number-{key}", lambda c: c.update({key: 7}))
    for key, value in {"dim": "4096", "layers": "64", "head_dim": "4096", "ensemble": "64", "fusion": "crossmamba", "d_state": "128", "expand": "8", "dropout": "nan", "encoder_a": "none", "pair_encoder": "duplex",
                       "calibration": "isotonic", "other": "1"}.items():
        changed(f"option-{key}", lambda c: c["options"].update({key: value}))
    changed("option-number", lambda c: c["options"].update({"dim": 8}))
    for key, value in {"width": 1 << 24, "longest": -1, "identity": "esm2 sha256:0", "precision": "f64", "domain": {"molecules": 1024, "threshold": 0.5}}.items():
        changed(f"input-{key}", lambda c: c["inputs"]["a"].update({key: value}))
    changed("input-both", lambda c: c["inputs"]["a"].update({"identity": "x", "precision": "bf16"}))
    changed("pair", lambda c: c["inputs"].update({"pair": {"width": 9, "encoder": "duplex"}}))
    for number, knots in enumerate(([[0, 0], [1, 1]], [[1, 0], [0, 1]], [[0, 2]], [[0]], [[0, 0]] * 2000, "x")):
        changed(f"knots-{number}", lambda c: c["calibration"].update({"knots": knots, "method": "isotonic"}))
    changed("method", lambda c: c["calibration"].update({"method": "x"}))
    changed("version", lambda c: c.update({"format_version": 2}))
    changed("task", lambda c: c.update({"task": "rna-rna"}))
    changed("affinity", lambda c: c.update({"task": "rna-protein-affinity"}))
    put("model", "not-finite", whole[:-4] + struct.pack("<f", float("nan")))
    put("model", "no-card", safetensors({"a": entry("F32", [1], 0, 4)}, bytes(4)))
    put("model", "bad-card", safetensors({"__metadata__": {"crossmamba": "{"}}))


# ---- checkpoints of training ----

FLOATS = 16  # the network of the fuzz target
COUNTERS = [25, 1.5, 5, 0.25, 2, 0, 4, 1, 1, 21]  # in the order of src/train/checkpoint.c


def checkpoint(counters=None, values=None, metadata=None, without=(), types=None, right=True):
    blocks = {"counters": struct.pack(f"<{len(counters or COUNTERS)}d", *(counters or COUNTERS))}
    for number, name in enumerate(("adamw.m", "adamw.v", "best", "parameters")):
        blocks[name] = struct.pack(f"<{FLOATS}f", *((values or {}).get(name) or [number + i / 8 for i in range(FLOATS)]))
    blocks = {name: block for name, block in blocks.items() if name not in without}
    facts = {"format": "crossmamba checkpoint", "format_version": "2", "key": "fuzz", **(metadata or {})}
    digest = hashlib.sha256(b"".join(facts[key].encode() + b"\0" for key in ("format", "format_version", "key")))
    for name in sorted(blocks):
        digest.update(name.encode() + b"\0" + blocks[name])
    header, at = {"__metadata__": {**facts, "sha256": digest.hexdigest() if right else "0" * 64}}, 0
    for name, block in blocks.items():
        dtype = (types or {}).get(name, "F64" if name == "counters" else "F32")
        header[name] = entry(dtype, [len(block) // (8 if dtype == "F64" else 4)], at, at + len(block))
        at += len(block)
    return safetensors(header, b"".join(blocks.values()))


def make_checkpoint():
    nan, inf = float("nan"), float("inf")
    put("checkpoint", "whole", checkpoint())
    put("checkpoint", "begin", checkpoint([0, 0, 0, inf, 0, 0, 0, 0, 0, 0]))
    put("checkpoint", "end", checkpoint([40, 0, 0, 0.5, 4, 1, 0, 0, 0, 40]))
    put("checkpoint", "unsealed", checkpoint(right=False))
    for number in range(len(COUNTERS)):
        for name, value in (("negative", -1), ("half", 0.5), ("nan", nan), ("inf", inf), ("many", 1e300), ("more", COUNTERS[number] + 1)):
            put("checkpoint", f"counter-{number}-{name}", checkpoint([value if i == number else c for i, c in enumerate(COUNTERS)]))
    put("checkpoint", "counter-missing", checkpoint(COUNTERS[:-1]))
    for name in ("adamw.m", "adamw.v", "best", "parameters", "counters"):
        put("checkpoint", f"without-{name}", checkpoint(without=[name]))
        put("checkpoint", f"type-{name}", checkpoint(types={name: "I32" if name != "counters" else "F32"}))
        if name != "counters":
            put("checkpoint", f"nan-{name}", checkpoint(values={name: [nan] * FLOATS}))
            put("checkpoint", f"negative-{name}", checkpoint(values={name: [-1.0] * FLOATS}))
    for key, value in (("format", "crossmamba unit"), ("format_version", "1"), ("format_version", "3"), ("format_version", "x"), ("format_version", "0"), ("key", "other"), ("key", "")):
        put("checkpoint", f"{key}-{value or 'empty'}".replace(" ", "-"), checkpoint(metadata={key: value}))
    put("checkpoint", "empty", b"")
    put("checkpoint", "half", checkpoint()[:200])
    put("checkpoint", "not-one", safetensors({"a": entry("F32", [1], 0, 4)}, bytes(4)))


# ---- records of evaluations and audits ----


def shorter(value, most=2):
    """Lists and the options cut to their beginning, results to one more than those of a track."""
    if isinstance(value, dict):
        return {key: dict(list(item.items())[:2]) if key == "options" else shorter(item, 4 if key == "results" else 2) for key, item in value.items()}
    if isinstance(value, list):
        return [shorter(item) for item in value[:most]]
    return value


def paths_of(value, path=()):
    """Every place of a JSON value once: of a list only its first element."""
    yield path
    for key, item in (value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()):
        yield from paths_of(item, (*path, key))


def with_value(value, path, new):
    """A copy with another value at path; new DROP: without it."""
    copy = json.loads(json.dumps(value))
    at = copy
    for key in path[:-1]:
        at = at[key]
    if new is DROP:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return copy


DROP = object()
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202e\u2028"


def put_variants(name, value, prefix=""):
    put("report", name, prefix + json.dumps(value))
    seen = set()
    for path in paths_of(value):
        if not path or len(path) > 5:
            continue
        place = tuple("0" if isinstance(key, int) else key for key in path[-2:])
        if place in seen:  # the same member of another model or fold
            continue
        seen.add(place)
        for what, new in (("drop", DROP), ("text", HOSTILE), ("number", -1e308)):
            put("report", f"{name}-{len(seen):03d}-{what}", prefix + json.dumps(with_value(value, path, new)))


def make_report():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_small_set(folder)
        (folder / "affinity.tsv").write_text("id_a\tid_b\tlabel\tfold\n" + "".join(f"r{i}\tp{j}\t{4 + (i * j % 7) / 2}\t{i % 2}\n" for i, j in SMALL_PAIRS))
        data = ["--a", folder / "a.fasta", "--b", folder / "b.fasta", "--pairs"]
        evaluate = [PROGRAM, "eval", *SMALL, "--out", folder / "out.tsv", "--record", folder / "record.json"]
        binary = [*evaluate, "--task", "rna-protein", *data, folder / "pairs.tsv", "--folds", "2", "--compare", "mlp,composition,id-only", "--track", "both", "--scramble", "2", "--group-column", "label"]
        affinity = [*evaluate, "--task", "rna-protein-affinity", *data, folder / "affinity.tsv", "--fold-column", "fold", "--train-fold", "0", "--compare", "mlp,id-only"]
        records = []
        for command in (binary, affinity):
            subprocess.run(command, check=True)
            records.append(shorter({**json.loads((folder / "record.json").read_text()), "command": "crossmamba eval"}))
        (folder / "faulty.fasta").write_text((folder / "a.fasta").read_text() + ">x\nACGUZJ1\n>y\nMKVLE\n")
        (folder / "audit.tsv").write_text("id_a\tid_b\tlabel\tfold\n" + "".join(f"r{i}\tp{j}\t{(i + j) % 2}\t{i % 3}\n" for i, j in SMALL_PAIRS) + "r0\tp0\t1\t0\nr0\tp0\t0\t1\nx\tp1\t1\t0\nz\tp1\t1\t0\n")
        audits = []
        for task, a, pairs in (("rna-protein", "faulty.fasta", "audit.tsv"), ("rna-protein-affinity", "a.fasta", "affinity.tsv")):
            subprocess.run([PROGRAM, "audit", "--task", task, "--a", folder / a, "--b", folder / "b.fasta", "--pairs", folder / pairs, "--fold-column", "fold", "--json", folder / "audit.json", "--quiet"],
                           check=True, stdout=subprocess.DEVNULL)
            audits.append(shorter({**json.loads((folder / "audit.json").read_text()), "command": "crossmamba audit"}))
    put_variants("binary", records[0])
    put_variants("affinity", records[1])
    for name, audit in zip(("audit", "audit-affinity"), audits):
        put_variants(name, audit, "A")
    for number, record in enumerate(records):
        put("report", f"baseline-{number}", json.dumps({**record, "reference": "id-only"}))
        put("report", f"conformal-{number}", json.dumps(with_value(record, ("results", 0, "conformal"), {"level": 0.9, "coverage": 0.9, "width": 1.5, "single": 0.5, "pairs": 9})))
    for number, text in enumerate(("", "[]", "{}", "{", "1", "A", "A{}", "A[]", '{"format":"crossmamba evaluation"}', '{"format":"crossmamba evaluation","format_version":1}', "[" * 100)):
        put("report", f"none-{number}", text)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for make in (make_safetensors, make_torch, make_npy, make_config, make_fasta, make_table, make_smiles, make_tokenizer, make_model, make_checkpoint, make_report):
        make()


main()
