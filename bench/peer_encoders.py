"""ESM-2 shapes with random weights in transformers on PyTorch, as fast as its settings allow.

    python bench/peer_encoders.py make FOLDER            writes the checkpoints esm2-8M .. esm2-650M (3.3 GB)
    python bench/peer_encoders.py sample A.fasta ... OUT TOKENS
                                                         a sample of about TOKENS residues with the length distribution
                                                         of the files, cut at 1,022
    python bench/peer_encoders.py run FOLDER SAMPLE [--sizes 8M,35M] [--precisions f32,bf16] [--attentions sdpa,eager]
                            [--budgets 1,1024,4096] [--repeats 3]

run prints, tab-separated: size, variant, best tokens per second (special tokens included). A variant is an
attention implementation, a precision and a batch size in tokens; sequences are sorted by length, so that batches
hold hardly any padding, and a batch of equal lengths gets no mask.
"""

import argparse
import os
import sys
import time

SIZES = {"8M": (6, 320), "35M": (12, 480), "150M": (30, 640), "650M": (33, 1280)}
LETTERS = "LAGVSERTIDPKQNFYMHWC"


def read_fasta(path):
    sequences, parts = [], []
    with open(path) as lines:
        for line in lines:
            if line.startswith(">"):
                sequences.append("".join(parts))
                parts = []
            else:
                parts.append(line.strip())
    sequences.append("".join(parts))
    return [s for s in sequences if s]


def make(folder):
    import torch
    from transformers import EsmConfig, EsmModel

    vocabulary = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
    for size, (layers, hidden) in SIZES.items():
        torch.manual_seed(1)
        config = EsmConfig(
            vocab_size=33, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=20,
            intermediate_size=4 * hidden, max_position_embeddings=1026, layer_norm_eps=1e-5,
            position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False,
            mask_token_id=32, pad_token_id=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )
        path = os.path.join(folder, "esm2-" + size)
        EsmModel(config, add_pooling_layer=False).save_pretrained(path)
        with open(os.path.join(path, "vocab.txt"), "w") as out:
            out.write("\n".join(vocabulary))


def sample(paths, out, tokens):
    """Sequences at equal steps through the sorted lengths; letters do not matter for speed, so RNA is written with
    amino-acid letters."""
    lengths = sorted(min(len(s), 1022) for path in paths for s in read_fasta(path))
    count = max(4, round(tokens * len(lengths) / sum(lengths)))
    picked = [lengths[int((i + 0.5) * len(lengths) / count)] for i in range(count)]
    with open(out, "w") as file:
        for i, length in enumerate(picked):
            text = "".join(LETTERS[(7 * i + 3 * j + j * j) % 20] for j in range(length))
            file.write(f">s{i}\n{text}\n")


def batches_of(sequences, budget):
    """Sorted by length, as many as fit into budget tokens with the padding."""
    batch = []
    for text in sorted(sequences, key=len):
        if batch and (len(batch) + 1) * (len(text) + 2) > budget:
            yield batch
            batch = []
        batch.append(text)
    yield batch


def encode(texts, torch):
    longest = max(map(len, texts)) + 2
    ids = torch.ones(len(texts), longest, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, 0] = 0
        ids[row, 1 : len(text) + 1] = torch.tensor([4 + LETTERS.index(c) for c in text])
        ids[row, len(text) + 1] = 2
    mask = None if all(len(t) + 2 == longest for t in texts) else (ids != 1).long()
    return ids, mask


def run(folder, path, sizes, precisions, attentions, budgets, repeats):
    import torch
    from transformers import EsmModel

    torch.set_num_threads(os.cpu_count())
    sequences = read_fasta(path)
    tokens = sum(len(s) + 2 for s in sequences)
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {len(sequences)} sequences, {tokens} tokens",
          file=sys.stderr)
    for size in sizes:
        for attention in attentions:
            for precision in precisions:
                dtype = torch.float32 if precision == "f32" else torch.bfloat16
                model = EsmModel.from_pretrained(os.path.join(folder, "esm2-" + size), add_pooling_layer=False,
                                                 attn_implementation=attention, dtype=dtype).eval()
                for budget in budgets:
                    batches = [encode(b, torch) for b in batches_of(sequences, budget)]
                    best = float("inf")
                    with torch.inference_mode():
                        model(*batches[0])
                        for _ in range(repeats):
                            start = time.perf_counter()
                            for ids, mask in batches:
                                model(ids, attention_mask=mask)
                            best = min(best, time.perf_counter() - start)
                            if best > 20:
                                break
                    print(f"{size}\t{precision}\t{attention}-{budget}\t{tokens / best:.0f}", flush=True)
                    if best > 60 and precision == "bf16":
                        break


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["make", "sample", "run"])
    parser.add_argument("arguments", nargs="+")
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--precisions", default="f32,bf16")
    parser.add_argument("--attentions", default="sdpa,eager")
    parser.add_argument("--budgets", default="1,1024,4096", help="tokens of a batch; 1: sequence by sequence")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.action == "make":
        make(options.arguments[0])
    elif options.action == "sample":
        *paths, out, tokens = options.arguments
        sample(paths, out, int(tokens))
    else:
        run(*options.arguments, options.sizes.split(","), options.precisions.split(","),
            options.attentions.split(","), [int(b) for b in options.budgets.split(",")], options.repeats)


main()
