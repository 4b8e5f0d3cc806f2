"""crossmamba-h5: test_h5.py PROGRAM SOURCE. What it writes is checked with h5py where that is installed, else with
h5dump, else only by reading it back; what it must read are the files of tests/fixtures/h5. What it must refuse is in
tests/bad_input/test_bad_h5.c, and every file of the folder that CROSSMAMBA_HOSTILE_H5 names, when it is set (the HDF
Group's collection of reproducers, cve_hdf5/cvefiles)."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

program, source = sys.argv[1:3]
fixtures = os.path.join(source, "tests", "fixtures", "h5")
try:
    import h5py
except ImportError:
    h5py = None

# None of the values is rounded by 16 bits.
SAMPLE = {
    "plain": ([2, 3], [0.5, -1.0, 2.0, 3.0, 4.25, 5.0]),
    "sp|P1/A%2F": ([1, 3], [7.0, 8.0, 9.0]),
    "..": ([3], [1.0, 2.0, -3.0]),
    "\u00e9 x": ([3], [0.0, 65504.0, 6.103515625e-05]),
}
ESCAPED = {"plain": "plain", "sp|P1/A%2F": "sp|P1%2FA%252F", "..": "%2E.", "\u00e9 x": "\u00e9 x"}


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def write_safetensors(path, tensors, dtype="F32", code="f"):
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        packed = struct.pack(f"<{len(values)}{code}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    with open(path, "rb") as file:
        image = file.read()
    length = struct.unpack("<Q", image[:8])[0]
    data, tensors = image[8 + length:], {}
    for name, entry in json.loads(image[8:8 + length]).items():
        begin, end = entry["data_offsets"]
        check(entry["dtype"] == "F32", f"{name} is {entry['dtype']}")
        tensors[name] = (entry["shape"], list(struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])))
    return tensors


def run(*arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def convert(*arguments):
    code, text = run(*arguments)
    check(code == 0, f"{arguments}: {text}")


def look_with_h5py(path, half):
    with h5py.File(path, "r") as file:
        check(sorted(file) == sorted(ESCAPED.values()), f"names {sorted(file)}")
        for name, (shape, values) in SAMPLE.items():
            dataset = file[ESCAPED[name]]
            check(dataset.attrs["original_id"] == name, f"original_id of {name}")
            check(dataset.dtype == ("<f2" if half else "<f4") and list(dataset.shape) == shape, f"type of {name}")
            check([float(x) for x in dataset[...].ravel()] == values, f"values of {name}")


def look_with_h5dump(path, half):
    text = subprocess.run(["h5dump", "-y", path], capture_output=True, text=True, check=True).stdout
    check(len(re.findall(r'\bDATASET "', text)) == len(SAMPLE), "number of datasets")
    part = text[text.index('DATASET "plain"'):]
    check(re.search(r"SIMPLE \{ \( 2, 3 \) / \( 2, 3 \) \}", part), "shape of plain")
    check(("16-bit" in part) == half and ("H5T_IEEE_F32LE" in part) != half, "type of plain")
    check(re.search(r"0\.5, -1, 2,\s+3, 4\.25, 5", part), "values of plain")
    check('DATASET "sp|P1%2FA%252F"' in text and '"sp|P1/A%2F"' in text, "escaped name and original_id")


def round_trips(folder):
    first, h5, back = (os.path.join(folder, name) for name in ("in.safetensors", "x.h5", "out.safetensors"))
    for dtype, code, half in (("F32", "f", False), ("F32", "f", True), ("F16", "e", False), ("F16", "e", True)):
        write_safetensors(first, SAMPLE, dtype, code)
        convert("to", *(["--half"] if half else []), first, h5)
        if h5py:
            look_with_h5py(h5, half)
        elif shutil.which("h5dump"):
            look_with_h5dump(h5, half)
        convert("from", h5, back)
        check(read_safetensors(back) == SAMPLE, f"round trip {dtype} half={half}: {read_safetensors(back)}")
    with open(h5, "rb") as file:
        image = file.read()
    convert("to", "--half", first, h5)
    with open(h5, "rb") as file:
        check(file.read() == image, "the same content gives the same bytes")
    return first, h5, back


def numbers(*shape):
    count = 1
    for n in shape:
        count *= n
    return list(shape), [i / 2 - 1 for i in range(count)]


GOOD = {
    "residues": {"sp|P1|A": numbers(2, 3), "b/c": numbers(3, 3)},
    "pooled": {"P12345": numbers(4), "Q99999": numbers(4)},
    "packed": {"fixed": numbers(40, 3)},
    "empty": {},
}


def hostile(folder, out):
    """Each file is read, or refused in one line that names it; within 10 s, without a signal, nothing written otherwise."""
    codes = {}
    for name in sorted(os.listdir(folder)):
        if os.path.exists(out):
            os.remove(out)
        done = subprocess.run([program, "from", os.path.join(folder, name), out], capture_output=True, timeout=10)
        text = done.stdout + done.stderr
        check(done.returncode in (0, 1, 3), f"{name}: ended with {done.returncode}: {text}")
        check(os.path.exists(out) == (done.returncode == 0), f"{name}: output and exit code {done.returncode} disagree")
        check(done.returncode == 0 or text.count(b"\n") == 1 and name.encode() in text, f"{name}: {text}")
        codes[done.returncode] = codes.get(done.returncode, 0) + 1
    print(f"{sum(codes.values())} hostile files:", ", ".join(f"{count} with exit code {code}" for code, count in sorted(codes.items())))


def main():
    with tempfile.TemporaryDirectory() as folder:
        first, h5, back = round_trips(folder)
        for name, wanted in GOOD.items():
            convert("from", os.path.join(fixtures, f"{name}.h5"), back)
            check(read_safetensors(back) == wanted, f"{name}: {read_safetensors(back)}")
        dead = os.path.join(folder, "x.h5.tmp.1.0")
        open(dead, "w").close()
        convert("to", first, h5)
        check(not os.path.exists(dead), "what a killed run left is removed")
        check(run("to", first)[0] == 2 and run()[0] == 2, "usage")
        code, text = run("--help")
        check(code == 0 and "TRUSTED" in text, "help")
        if "CROSSMAMBA_HOSTILE_H5" in os.environ:
            hostile(os.environ["CROSSMAMBA_HOSTILE_H5"], back)
    print("checked with", "h5py" if h5py else "h5dump" if shutil.which("h5dump") else "its own reader")


main()
