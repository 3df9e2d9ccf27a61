"""Random weights for score_parity.py, in the files that the tools load and in those that tiller loads.

weights/inception.pth            pytorch-fid's and torch-fidelity's state dict; norm statistics of real activations
weights/inception-2015-12-05.pt  the same net as the TorchScript that clean-fid loads
weights/vggish.pth, Cnn14*.pth   torchvggish's and PANNs' checkpoints
weights/clip.pt, clip/           one small CLIP of 224x224, patches of 32, 77 positions: OpenAI's state dict, a CLIPModel folder
weights/630k-audioset-best.pt, clap/   one HTSAT-tiny with two layers of text: LAION's checkpoint, a ClapModel folder (parity_clap.py)
"""

import json
import warnings

import numpy as np
import torch
from PIL import Image
from torch import nn


def he(module, gen):
    """Weights that keep the size of activations; biases that are not zero."""
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.weight.normal_(0, (2 / layer.weight[0].numel()) ** 0.5, generator=gen)
                if layer.bias is not None:
                    layer.bias.normal_(0, 0.05, generator=gen)
            elif isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm1d)):
                layer.weight.uniform_(0.7, 1.3, generator=gen)
                layer.bias.normal_(0, 0.2, generator=gen)


def settle(module, run):
    """Running statistics of every norm from what `run` puts through it."""
    module.eval()
    norms = [m for m in module.modules() if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm1d))]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        run()
    module.eval()


class Trunk(nn.Module):
    """What clean-fid's TorchScript offers: `layers` of a picture that is scaled already."""

    def __init__(self, blocks):
        super().__init__()
        self.layers = nn.Sequential(*[part for block in blocks for part in block], nn.Flatten())

    def forward(self, x):
        return self.layers((x - 128) / 128)


def make_inception(folder, pictures):
    import pytorch_fid.inception as fid
    from torchvision.models import Inception3
    kept, Inception3.load_state_dict = Inception3.load_state_dict, lambda self, state: None
    fid.load_state_dict_from_url = lambda *a, **k: None
    warnings.filterwarnings("ignore")
    net = fid.fid_inception_v3()
    Inception3.load_state_dict = kept
    he(net, torch.Generator().manual_seed(101))
    fid.fid_inception_v3 = lambda: net
    chain = fid.InceptionV3([3])
    files = [p for side in "ab" for p in sorted((pictures / side).iterdir())[:16]]
    x = torch.stack([torch.from_numpy(np.array(Image.open(p).convert("RGB").resize((299, 299)), np.float32) / 255).permute(2, 0, 1)
                     for p in files])
    settle(chain, lambda: chain(x))
    torch.save(net.state_dict(), folder / "inception.pth")
    with torch.no_grad():
        traced = torch.jit.trace(Trunk(chain.blocks).eval(), torch.rand(2, 3, 299, 299) * 255, check_trace=False)
    traced.save(str(folder / "inception-2015-12-05.pt"))


def make_vggish(folder):
    import torchvggish.torchvggish as vggish
    net = vggish._vgg(postprocess=False)
    he(net, torch.Generator().manual_seed(102))
    torch.save(net.state_dict(), folder / "vggish.pth")


def make_cnn14(folder, sounds):
    import soundfile
    from frechet_audio_distance.models.pann import Cnn14, Cnn14_16k
    for name, cls, rate, window, hop, fmax in (("Cnn14_mAP%3D0.431.pth", Cnn14, 32000, 1024, 320, 14000),
                                               ("Cnn14_16k_mAP%3D0.438.pth", Cnn14_16k, 16000, 512, 160, 8000)):
        net = cls(sample_rate=rate, window_size=window, hop_size=hop, mel_bins=64, fmin=50, fmax=fmax, classes_num=527)
        he_keep = {k: v.clone() for k, v in net.state_dict().items() if "extractor" in k}
        he(net, torch.Generator().manual_seed(103))
        net.load_state_dict({**net.state_dict(), **he_keep})
        x = [soundfile.read(p)[0] for p in sorted(sounds.iterdir())[:6]]
        x = np.stack([np.resize(v.mean(1) if v.ndim > 1 else v, 2 * rate) for v in x]).astype(np.float32)
        settle(net, lambda: net(torch.from_numpy(x), None))
        torch.save({"model": net.state_dict()}, folder / name)


def hf_of_openai(state, heads):
    """A CLIPModel of an OpenAI state dict."""
    from transformers import CLIPConfig, CLIPModel
    width, text = state["visual.proj"].shape[0], state["text_projection"].shape[0]
    layers = [len({k.split("resblocks.")[1].split(".")[0] for k in state if k.startswith(p)})
              for p in ("visual.transformer.resblocks", "transformer.resblocks")]
    embed = state["text_projection"].shape[1]
    config = CLIPConfig(projection_dim=embed, text_config=dict(
        vocab_size=49408, hidden_size=text, intermediate_size=4 * text, num_hidden_layers=layers[1], num_attention_heads=heads[1],
        projection_dim=embed, bos_token_id=49406, eos_token_id=49407, pad_token_id=49407), vision_config=dict(
            hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers[0], num_attention_heads=heads[0], patch_size=32,
            image_size=224, projection_dim=embed))
    model = CLIPModel(config)
    out = {"logit_scale": state["logit_scale"], "visual_projection.weight": state["visual.proj"].T,
           "text_projection.weight": state["text_projection"].T,
           "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
           "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
           "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
           "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
           "text_model.embeddings.position_embedding.weight": state["positional_embedding"]}
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2", "attn.out_proj": "self_attn.out_proj"}
    for end in ("weight", "bias"):
        out[f"vision_model.pre_layrnorm.{end}"] = state[f"visual.ln_pre.{end}"]
        out[f"vision_model.post_layernorm.{end}"] = state[f"visual.ln_post.{end}"]
        out[f"text_model.final_layer_norm.{end}"] = state[f"ln_final.{end}"]
        for theirs, ours, n in (("visual.transformer", "vision_model", layers[0]), ("transformer", "text_model", layers[1])):
            for i in range(n):
                a, b = f"{theirs}.resblocks.{i}", f"{ours}.encoder.layers.{i}"
                for x, y in names.items():
                    out[f"{b}.{y}.{end}"] = state[f"{a}.{x}.{end}"]
                for part, name in zip(state[f"{a}.attn.in_proj_{end}"].chunk(3), "qkv"):
                    out[f"{b}.self_attn.{name}_proj.{end}"] = part
    missing, extra = model.load_state_dict({k: v.contiguous() for k, v in out.items()}, strict=False)
    if extra or [m for m in missing if "position_ids" not in m]:
        raise SystemExit(f"CLIP's names do not fit: {missing} {extra}")
    return model


def make_clip(folder, shared):
    import clip.model
    from clip.simple_tokenizer import SimpleTokenizer
    from transformers import CLIPImageProcessor
    torch.manual_seed(104)
    net = clip.model.CLIP(64, 224, 3, 128, 32, 77, 49408, 128, 2, 2)
    gen = torch.Generator().manual_seed(105)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=gen) * 0.02)
            p.copy_(p.half().float())  # clip.load rounds to half precision
        net.logit_scale.fill_(np.log(100.0))
        net.logit_scale.copy_(net.logit_scale.half().float())
    state = net.state_dict()
    torch.save({k: v for k, v in state.items() if k != "attn_mask"}, folder / "clip.pt")
    path = folder / "clip"
    path.mkdir()
    hf_of_openai(state, (2, 2)).save_pretrained(path)
    CLIPImageProcessor(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}).save_pretrained(path)
    tokens = SimpleTokenizer().encoder
    (path / "vocab.json").write_text(json.dumps(tokens, ensure_ascii=False))
    lines = (shared / "tokenizers" / "clip_bpe_merges.txt").read_text().split("\n")[:49152 - 256 - 2 + 1]
    (path / "merges.txt").write_text("\n".join(lines) + "\n")
    (path / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}))
    (path / "special_tokens_map.json").write_text(json.dumps({
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}))


def make(work, shared):
    folder = work / "weights"
    folder.mkdir(exist_ok=True)
    if not (folder / "inception-2015-12-05.pt").exists():
        make_inception(folder, work / "pictures")
    if not (folder / "vggish.pth").exists():
        make_vggish(folder)
    if not (folder / "Cnn14_16k_mAP%3D0.438.pth").exists():
        make_cnn14(folder, work / "sounds" / "a")
    if not (folder / "clip" / "special_tokens_map.json").exists():
        make_clip(folder, shared)
