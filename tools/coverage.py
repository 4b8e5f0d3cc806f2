"""Lines and branches of parts of the sources, from gcovr's JSON: coverage.py FILE PREFIX ..."""
import json
import sys


def counts(files, prefix):
    """Lines reached, lines, branches taken, branches; those of exceptions do not count."""
    lines = [line for file in files if file["file"].startswith(prefix) for line in file["lines"] if not line.get("gcovr/noncode")]
    branches = [branch["count"] > 0 for line in lines for branch in line["branches"] if not branch.get("throw")]
    return sum(line["count"] > 0 for line in lines), len(lines), sum(branches), len(branches)


def main():
    with open(sys.argv[1]) as file:
        files = json.load(file)["files"]
    for prefix in sys.argv[2:]:
        reached, lines, taken, branches = counts(files, prefix)
        print(f"{prefix}: lines {100 * reached / lines:.1f} % ({reached} of {lines}), branches {100 * taken / branches:.1f} % ({taken} of {branches})")


main()
