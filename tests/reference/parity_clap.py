"""One random CLAP for score_parity.py in LAION's form and in transformers': HTSAT-tiny whole, RoBERTa of two layers.

weights/630k-audioset-best.pt is what laion_clap, fadtk, kadtk and frechet-audio-distance load; weights/clap a ClapModel folder,
renamed as transformers' own conversion script does it (which cannot be imported without its hub).
"""

import json
import re

import numpy as np
import soundfile
import torch
import transformers

import parity_weights

NAMES = {"text_branch": "text_model", "audio_branch": "audio_model.audio_encoder", "attn": "attention.self", "self.proj": "output.dense",
         "attention.self_mask": "attn_mask", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense", "norm1": "layernorm_before",
         "norm2": "layernorm_after", "bn0": "batch_norm"}


def text_config():
    return transformers.RobertaConfig(vocab_size=50265, num_hidden_layers=2, max_position_embeddings=514, type_vocab_size=1,
                                      pad_token_id=1, bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5)


def patch():
    """laion_clap builds its text tower from the hub; here from a config."""
    transformers.RobertaModel.from_pretrained = classmethod(lambda cls, *a, **k: cls(text_config()))


def renamed(state):
    out = {}
    for key, value in state.items():
        for theirs, ours in NAMES.items():
            key = key.replace(theirs, ours)
        step = re.match(r".*sequential.(\d+).*", key)
        part = re.match(r".*_projection.(\d+).*", key)
        if step:
            key = key.replace(f"sequential.{step[1]}.", f"layers.{int(step[1]) // 3}.linear.")
        elif part:
            key = key.replace(f"_projection.{part[1]}.", f"_projection.linear{1 if part[1] == '0' else 2}.")
        if "audio" in key and "qkv" in key:
            for name, third in zip(("query", "key", "value"), value.chunk(3)):
                out[key.replace("qkv", name)] = third.clone()
        else:
            out[key] = value
    return out


def tokenizer_files(path):
    """Byte-level pieces with some merges under RoBERTa's names and ids, since the hub's 50,265 are not at hand."""
    from transformers.models.roberta.tokenization_roberta import bytes_to_unicode
    letters = list(bytes_to_unicode().values())
    merges = ["t h", "a n", "i n", "o n", "Ġ th", "Ġ a", "r e", "an d", "Ġ and", "in g", "e r", "Ġa n", "d r", "dr u", "dru m"]
    words = ["<s>", "<pad>", "</s>", "<unk>", *letters, *(m.replace(" ", "") for m in merges), "<mask>"]
    (path / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}, ensure_ascii=False))
    (path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer = transformers.RobertaTokenizer(str(path / "vocab.json"), str(path / "merges.txt"), model_max_length=512)
    tokenizer.save_pretrained(path)


def spread(module, x):
    """Random towers give nearly one direction whatever they hear, which would test rounding only: the projections' biases take it
    away and put one that both share in its place."""
    model, seen = module.model, {}
    hooks = [p.register_forward_hook(lambda m, i, o, k=k: seen.update({k: o}))
             for k, p in (("audio", model.audio_projection), ("text", model.text_projection))]
    with torch.no_grad():
        module.get_audio_embedding_from_data(x, use_tensor=True)
        ids = torch.randint(4, 270, (8, 12), generator=torch.Generator().manual_seed(109))
        model.get_text_embedding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        common = torch.randn(512, generator=torch.Generator().manual_seed(110))
        for k, p in (("audio", model.audio_projection), ("text", model.text_projection)):
            rest = seen[k] - seen[k].mean(0)
            p[2].bias.add_(common / common.norm() * rest.norm(dim=1).mean() * 0.7 - seen[k].mean(0))
    for hook in hooks:
        hook.remove()


def make(work):
    folder = work / "weights"
    if (folder / "clap" / "tokenizer_config.json").exists():
        return
    patch()
    import laion_clap
    torch.manual_seed(107)
    module = laion_clap.CLAP_Module(enable_fusion=False, amodel="HTSAT-tiny", device="cpu")
    gen = torch.Generator().manual_seed(108)
    with torch.no_grad():
        for name, p in module.model.named_parameters():
            if "extractor" not in name:
                p.add_(torch.randn(p.shape, generator=gen) * (0.02 if p.dim() > 1 else 0.05))
        for p in (module.model.logit_scale_a, module.model.logit_scale_t):
            p.fill_(np.log(1 / 0.07))
    sounds = [soundfile.read(p)[0] for p in sorted((work / "sounds" / "a").iterdir())[:6]]
    x = torch.from_numpy(np.stack([np.resize(s.mean(1) if s.ndim > 1 else s, 480000) for s in sounds]).astype(np.float32))
    module.eval()
    norms = [m for n, m in module.model.named_modules() if n.endswith("bn0")]
    parity_weights.settle(torch.nn.ModuleList(norms), lambda: module.get_audio_embedding_from_data(x, use_tensor=True))
    spread(module, x)
    # laion_clap deletes this key when it loads, and fails without it.
    state = {**module.model.state_dict(), "text_branch.embeddings.position_ids": torch.arange(514)[None]}
    torch.save({"state_dict": state}, folder / "630k-audioset-best.pt")
    branch = module.model.audio_branch
    config = transformers.ClapConfig(
        audio_config=dict(patch_embeds_hidden_size=branch.embed_dim, depths=list(branch.depths), hidden_size=768, projection_dim=512),
        text_config={**text_config().to_dict(), "projection_dim": 512}, projection_dim=512)
    model = transformers.ClapModel(config)
    missing, extra = model.load_state_dict(renamed(module.model.state_dict()), strict=False)
    if [m for m in missing if "position_ids" not in m and "token_type_ids" not in m]:
        raise SystemExit(f"CLAP's names do not fit: missing {missing}, extra {extra}")
    model.save_pretrained(folder / "clap")
    transformers.ClapFeatureExtractor(frequency_min=50, frequency_max=14000, truncation="rand_trunc",
                                      padding="repeatpad").save_pretrained(folder / "clap")
    tokenizer_files(folder / "clap")
