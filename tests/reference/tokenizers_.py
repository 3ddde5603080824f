"""The tokenizer: transformers' `CLIPTokenizer` on a tiny vocabulary, made here as CLIP's was: bytes, merges, specials."""

import json
from collections import Counter

from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from common import fresh, write_json

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
CORPUS = """PA chest radiograph of a 60-year-old man. Large left pleural effusion. AP chest radiograph of a child.
No pneumothorax. Cardiomegaly with small right pleural effusion. The lungs are clear. Normal heart size.
Opacity in the left lower zone. No focal consolidation, pleural effusion or pneumothorax. Frontal view of an adult woman.
Bilateral interstitial opacities. Chest radiograph without an acute finding. The heart is enlarged."""
PROMPTS = [
    "",
    " ",
    "PA chest radiograph of a 60-year-old man. Large left pleural effusion.",
    "  two\t spaces \n and a   line  ",
    "UPPER lower MiXeD",
    "it's they're we'll I'd don't",
    "no punctuation!!! (really?) 3/4, 12.5 % & $#@",
    "naïve Café Übergröße",
    "e\u0301 is not \u00e9 before NFC",
    "日本語 胸部X線 한국어 русский العربية",
    "🫁 lungs 🫀 heart 👩🏽‍⚕️",
    "İstanbul ẞ Ǆ ﬁ ½ ² ①",
    "zero\u200bwidth\u00a0nbsp\u2003em",
    "<|startoftext|> inside <|endoftext|> the text",
    "a<|endoftext|>b </w>",
    "! and !! and !x",
    "emoji\u0000nul and \ud7ff",
    "effusion " * 30,
    "effusion " * 75,
    "effusion " * 100,
    "pneumothorax, " * 60 + "!",
    "x" * 400,
]


def vocabulary(count):
    """`vocab.json` and `merges.txt`: every byte, alone and as the end of a word, then `count` merges, then the specials."""
    letters = bytes_to_unicode()
    vocab = sorted(letters.values()) + [letter + "</w>" for letter in sorted(letters.values())]
    words = Counter()
    for word in CORPUS.lower().replace(".", " .").replace(",", " ,").split():
        symbols = [letters[byte] for byte in word.encode()]
        words[tuple(symbols[:-1] + [symbols[-1] + "</w>"])] += 1
    merges = []
    for _ in range(count):
        pairs = Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        merged = Counter()
        for word, times in words.items():
            out, i = [], 0
            while i < len(word):
                step = 2 if word[i : i + 2] == best else 1
                out.append("".join(word[i : i + step]))
                i += step
            merged[tuple(out)] += times
        words = merged
    vocab += ["".join(pair) for pair in merges] + [BOS, EOS]
    return {token: index for index, token in enumerate(vocab)}, merges


def tokenizer(pad_token):
    vocab, merges = vocabulary(100)
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=pad_token, model_max_length=77)


def save_published(folder, pad_token):
    """The files of published checkpoints: a vocabulary, merges, two small files of settings."""
    vocab, merges = vocabulary(100)
    write_json(folder / "vocab.json", vocab)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"content": EOS, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    specials = {"bos_token": special | {"content": BOS}, "eos_token": special, "unk_token": special, "pad_token": pad_token}
    write_json(folder / "special_tokens_map.json", specials)
    settings = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 77}
    settings |= {"tokenizer_class": "CLIPTokenizer", "pad_token": pad_token}
    write_json(folder / "tokenizer_config.json", settings)


def make():
    # Stable Diffusion 1 pads with the end token, Stable Diffusion 2 with "!".
    for name, pad_token in (("tokenizer_sd1", EOS), ("tokenizer_sd2", "!")):
        folder = fresh(name)
        save_published(folder, pad_token)
        reader = CLIPTokenizer.from_pretrained(folder)
        rows = []
        for prompt in PROMPTS:
            ids = reader(prompt, padding="max_length", max_length=77, truncation=True).input_ids
            full = reader(prompt, truncation=False).input_ids
            rows.append({"prompt": prompt, "ids": ids, "truncated": max(0, len(full) - 77)})
        text = json.dumps(rows, ensure_ascii=True)
        (folder / "case.json").write_text(text.replace("}, {", "},\n{") + "\n", encoding="utf-8")
        # The same tokenizer as transformers saves it today: one tokenizer.json.
        reader.save_pretrained(folder / "json")
        again = CLIPTokenizer.from_pretrained(folder / "json")
        for row in rows:
            ids = again(row["prompt"], padding="max_length", max_length=77, truncation=True).input_ids
            assert ids == row["ids"], row["prompt"]


if __name__ == "__main__":
    make()
