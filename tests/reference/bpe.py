"""CLIP tokenizer fixtures.

tokenizer/clip_vectors.json   ids under the full public 48,894 merges (a file that is not committed; see README.md)
tokenizer/byte_old            a small byte-level vocabulary in the old form: vocab.json + merges.txt
tokenizer/byte_json           the same as transformers 5 saves it: tokenizer.json
tokenizer/toy23               the 23-entry vocabulary of transformers' own tests (unknown symbols become the unk token)
Each of the last three holds vectors.json: [{"text", "ids", "padded", "mask"}], ids without begin and end, `padded` and
`mask` with both, cut and padded to the 77 of the config.
"""

import collections
import json
import pathlib
import sys

from transformers import CLIPTokenizer

import common

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
WORDS = """a red blue green yellow circle square triangle above below left right of the and two three small large photo
picture painting on white black background cat dog with in to its's don't lower newer wider can't""".split()

# The table of the format's description, with the ids that it gives; the rest is computed here.
KNOWN = [
    ("a photo of a cat", [320, 1125, 539, 320, 2368]),
    ("A painting of a squirrel eating a burger", [320, 3086, 539, 320, 14004, 4371, 320, 6548]),
    ("Hello, World!!", [3306, 267, 1002, 748]),
    ("it's 2024: 3.14%", [585, 568, 273, 271, 273, 275, 281, 274, 269, 272, 275, 260]),
    ("  multiple   spaces\tand\nnewlines ", [6470, 9006, 537, 1218, 3418]),
    ("caf\u00e9 \u00dcn\u00efc\u00f6d\u00e9", [15304, 6522, 77, 35689, 66, 7255, 67, 4166]),
    ("\u65e5\u672c\u8a9e text", [39121, 44353, 34002, 508, 4160]),
    ("don't 'LL we'Re", [847, 713, 1342, 649, 982]),
    ("\"quoted\" (text) & <b>", [257, 27706, 257, 263, 4160, 264, 261, 283, 321, 285]),
    ("emoji \U0001f600 ok", [16327, 7334, 2481]),
    ("can't stop\u2014won't stop\u2026 e.g. UPPER_case",
     [753, 713, 1691, 2005, 1749, 713, 1691, 959, 324, 269, 326, 269, 7067, 318, 2068]),
    ("", []),
]
MORE = [
    "a red circle above a blue square", "cafe\u0301 combining", "\u0130stanbul \u1e9e STRASSE \u03a3\u0391\u03a3",
    "x\u00b2 \u00bd \u2167 \u0663\u0664", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "\uac00\ub098\ub2e4 \u1112\u1161\u11ab",
    "nbsp\u00a0thin\u2009ideographic\u3000space\u0085nel", "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
    "tokens <|endoftext|> inside <|startoftext|>", "...!!!???---___", "'s 't 're 've 'm 'll 'd 'S", "a'b''c'd'e",
    "1234567890", "\U0001f469\u200d\U0001f680 \U0001d518\U0001d52b\U0001d526", "a" * 40,
    "the quick brown fox jumps over the lazy dog " * 10, "zero\u200bwidth\ufeffbom", "\u00df\u017f\ufb01 \u01c5",
]


def byte_alphabet():
    """Byte value -> character; printable bytes stand for themselves, the other 68 for U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in plain}
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + len(table) - len(plain))
    order = plain + [b for b in range(256) if b not in plain]
    return table, order


def vocabulary(merges):
    table, order = byte_alphabet()
    symbols = [table[b] for b in order]
    entries = symbols + [s + "</w>" for s in symbols] + [a + b for a, b in merges] + [BOS, EOS]
    return {symbol: index for index, symbol in enumerate(entries)}


def learn_merges(words, count):
    """Plain byte-pair learning; ties go to the pair that sorts first."""
    pieces = [[*w[:-1], w[-1] + "</w>"] for w in words]
    merges = []
    while len(merges) < count:
        pairs = collections.Counter(pair for p in pieces for pair in zip(p, p[1:]))
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = [apply_merge(p, best) for p in pieces]
    return merges


def apply_merge(piece, pair):
    out, i = [], 0
    while i < len(piece):
        if i + 1 < len(piece) and (piece[i], piece[i + 1]) == pair:
            out.append(piece[i] + piece[i + 1])
            i += 2
        else:
            out.append(piece[i])
            i += 1
    return out


def write_old_form(path, vocab, merges, length=77, unk=EOS, pad=EOS):
    """vocab.json + merges.txt and the two small config files, as transformers 4 wrote them."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (path / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    special = {"bos_token": BOS, "eos_token": EOS, "pad_token": pad, "unk_token": unk}
    (path / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    config = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": length,
              "tokenizer_class": "CLIPTokenizer", **special}
    (path / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def vectors(tokenizer, texts):
    rows = []
    for text in texts:
        full = tokenizer(text, padding="max_length", truncation=True, max_length=tokenizer.model_max_length)
        rows.append({"text": text, "ids": tokenizer(text, add_special_tokens=False)["input_ids"],
                     "padded": full["input_ids"], "mask": full["attention_mask"]})
    return rows


def write_rows(path, rows):
    path.write_text("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")


def small_tokenizer(path, length=77):
    """The small byte-level vocabulary, written in old form; returns its vocabulary."""
    merges = learn_merges(WORDS, 120)
    vocab = vocabulary(merges)
    write_old_form(path, vocab, merges, length)
    return vocab


def byte_level(root):
    old, new = root / "byte_old", root / "byte_json"
    small_tokenizer(old)
    tokenizer = CLIPTokenizer.from_pretrained(old)
    rows = vectors(tokenizer, [t for t, _ in KNOWN] + MORE)
    tokenizer.save_pretrained(new)
    if vectors(CLIPTokenizer.from_pretrained(new), [r["text"] for r in rows]) != rows:
        raise SystemExit("the two forms of the small tokenizer disagree")
    for path in (old, new):
        write_rows(path / "vectors.json", rows)


def toy(root):
    symbols = "l o w e r s t i d n lo l</w> w</w> r</w> t</w> low</w> er</w> lowest</w> newer</w> wider <unk>".split()
    vocab = {s: i for i, s in enumerate([*symbols, BOS, EOS])}
    merges = [("l", "o"), ("lo", "w</w>"), ("e", "r</w>")]
    path = root / "toy23"
    write_old_form(path, vocab, merges, 10, unk="<unk>", pad="<unk>")
    tokenizer = CLIPTokenizer.from_pretrained(path)
    rows = vectors(tokenizer, ["lower newer", "low lowest", "Lower, xyz", "", "widest er lower newer low lot", f"low {EOS} r"])
    if rows[0]["ids"] != [10, 2, 16, 9, 3, 2, 16]:
        raise SystemExit(f"toy vocabulary: {rows[0]['ids']}")
    write_rows(path / "vectors.json", rows)


def full(root, merges_file):
    lines = merges_file.read_text(encoding="utf-8").split("\n")[1:48895]
    merges = [tuple(line.split()) for line in lines]
    tokenizer = CLIPTokenizer(vocab=vocabulary(merges), merges=merges)
    rows = [{"text": t, "ids": tokenizer(t, add_special_tokens=False)["input_ids"]} for t in [k for k, _ in KNOWN] + MORE]
    for row, (text, ids) in zip(rows, KNOWN):
        if row["ids"] != ids:
            raise SystemExit(f"{text!r}: {row['ids']}, the format's description says {ids}")
    write_rows(root / "clip_vectors.json", rows)


def main(arguments):
    root = common.folder("tokenizer")
    byte_level(root)
    toy(root)
    default = pathlib.Path(__file__).resolve().parents[3] / "shared/data/tokenizers/clip_bpe_merges.txt"
    full(root, pathlib.Path(arguments[0]) if arguments else default)
    common.report(root)


if __name__ == "__main__":
    main(sys.argv[1:])
