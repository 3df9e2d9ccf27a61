"""RoBERTa tokenizer fixtures: roberta/old (vocab.json, merges.txt), roberta/json (as transformers 5 saves it) and
roberta/prefix (add_prefix_space), a small byte-level vocabulary that is learnt here. vectors.json as in bpe.py."""

import json
import sys

from transformers import RobertaTokenizer

import bpe
import common

WORDS = """a Ġdog Ġbarks Ġthe Ġrain Ġsound Ġof Ġmusic Ġpiano Ġand Ġviolin Ġin Ġa Ġloud Ġquiet Ġroom This Ġis Ġit Ġslow
Ġ120 Ġbpm Ġ1990 Ġhe Ġcan Ġdrums Ġdrumming Ġbirds Ġsinging ing Ġ'' ĠĠ ĠĠĠĠ ĊĊ""".split()
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
TEXTS = [
    "", " ", "  ", "a dog barks", " a dog barks", "The sound of rain.", "This is a sound of a piano and violin",
    "it's he'll can't I'd we've they're I'm 'tis 'Sound 'S", "120 bpm, 1990s", "  two   spaces\tand\n\nnewlines \n ",
    "trailing   ", "\ttab first", "caf\u00e9 cafe\u0301 \u00dcn\u00efc\u00f6d\u00e9", "\u65e5\u672c\u8a9e text", "emoji \U0001f600\U0001f44d\U0001f3fd ok",
    "nbsp\u00a0thin\u2009x ideographic\u3000space\u0085nel", "\u180e mongolian", "x\u00b2 \u00bd \u2167 \u0663\u0664", "LOUD Drums!!! ...?",
    "a <mask> b", "a   <mask>  b", "<s>inside</s> <pad> <unk>", "<mask>", "zero\u200bwidth\ufeffbom", "don''t 'll'd",
    "the " * 40, "drumming birds singing quietly in a quiet room", "a\u2028b\u2029c", "3.14%", "(a) & [b]", "\u00a0 x", " \u00a0x",
]


def write(path, vocab, merges, prefix):
    path.mkdir(parents=True, exist_ok=True)
    (path / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (path / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    config = {"add_prefix_space": prefix, "errors": "replace", "model_max_length": 24, "bos_token": "<s>",
              "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
              "tokenizer_class": "RobertaTokenizer",
              "mask_token": {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False,
                             "single_word": False, "__type": "AddedToken"}}
    (path / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def main():
    root = common.folder("roberta")
    table, order = bpe.byte_alphabet()
    pieces = [[*w] for w in WORDS]
    merges = []
    while len(merges) < 150:
        pairs = bpe.collections.Counter(pair for p in pieces for pair in zip(p, p[1:]))
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = [bpe.apply_merge(p, best) for p in pieces]
    entries = dict.fromkeys([*SPECIAL, *(table[b] for b in order), *(a + b for a, b in merges), "<mask>"])
    vocab = {symbol: index for index, symbol in enumerate(entries)}
    for name, prefix in (("old", False), ("prefix", True)):
        path = root / name
        write(path, vocab, merges, prefix)
        tokenizer = RobertaTokenizer.from_pretrained(path)
        rows = bpe.vectors(tokenizer, TEXTS)
        if not prefix:
            tokenizer.save_pretrained(root / "json")
            if bpe.vectors(RobertaTokenizer.from_pretrained(root / "json"), TEXTS) != rows:
                raise SystemExit("the two forms disagree")
            bpe.write_rows(root / "json" / "vectors.json", rows)
        bpe.write_rows(path / "vectors.json", rows)
    common.report(root)


if __name__ == "__main__":
    sys.exit(main())
