"""schedulers/*.json: timesteps and every step of diffusers' schedulers.

ddim.json and ddpm.json are computed on float64 samples.

The model is m(x, t) = x/2 + t/2000. diffusers keeps the betas and their products in float32, so agreement is to about
1e-5. Each case: `config` as in scheduler_config.json, `steps`, `eta` (DDIM), `timesteps`, and one row per step with
`t`, `prev` (-1: before the first), `std` (of the noise added), `x0` (pred_original_sample), `x` (the new sample).
`x` starts as "start"; `noise[k]` is what step k draws. DDPM adds no noise at t = 0.

euler.json, euler_a.json, dpmpp2m.json and dpmpp2m_sde.json, on float32 samples as pipelines have them: the model sees
the scaled sample, m(x, t) = c_in x / 2 + t/2000; "init" is init_noise_sigma, which "start" is multiplied with; a row
is [t, x0 of 4, x of 4].
"""

import itertools
import json

import torch
from diffusers import (DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
                       EulerDiscreteScheduler)
from diffusers.schedulers import scheduling_ddpm, scheduling_euler_ancestral_discrete

import common

START = torch.tensor([1.0, -0.5, 0.25, 2.0], dtype=torch.float64)
SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
LINEAR = dict(beta_start=0.0001, beta_end=0.02, beta_schedule="linear", num_train_timesteps=1000)
COSINE = dict(beta_schedule="squaredcos_cap_v2", num_train_timesteps=1000)
LONG_NOISE = (torch.randn(20, 4, generator=common.generator(6001), dtype=torch.float64) * 1e4).round() / 1e4
NOISE = (torch.randn(7, 4, generator=common.generator(6000), dtype=torch.float64) * 1e4).round() / 1e4


def cases():
    """(class, config, steps, eta)."""
    spacing = ("leading", "trailing", "linspace")
    kinds = ("epsilon", "v_prediction", "sample")
    for space, kind, clip, eta in itertools.product(spacing, kinds, (False, True), (0.0, 1.0)):
        offset = 1 if space == "leading" else 0
        shared = dict(SD, timestep_spacing=space, prediction_type=kind, clip_sample=clip, steps_offset=offset)
        yield DDIMScheduler, dict(shared, set_alpha_to_one=False), 5, eta
        if eta == 1.0:
            yield DDPMScheduler, dict(shared, variance_type="fixed_small"), 5, None
    for eta, space in itertools.product((0.0, 0.5, 1.0), spacing):
        yield DDIMScheduler, dict(LINEAR, timestep_spacing=space, clip_sample=False), 7, eta  # 7 does not divide 1000
    yield DDIMScheduler, dict(COSINE, clip_sample=True, clip_sample_range=2.0), 5, 1.0
    yield DDIMScheduler, dict(SD, clip_sample=False, steps_offset=0), 5, 1.0
    yield DDIMScheduler, dict(SD, clip_sample=False, num_train_timesteps=500, timestep_spacing="trailing"), 5, 1.0
    yield DDIMScheduler, dict(clip_sample=False, trained_betas=[0.01 * (i + 1) for i in range(10)],
                              num_train_timesteps=10), 5, 1.0
    for kind, eta in itertools.product(("v_prediction", "sample"), (0.0, 1.0)):
        yield DDIMScheduler, dict(SD, clip_sample=False, rescale_betas_zero_snr=True, timestep_spacing="trailing",
                                  prediction_type=kind), 5, eta
    for space, variance in itertools.product(spacing, ("fixed_small", "fixed_large")):
        yield DDPMScheduler, dict(LINEAR, timestep_spacing=space, clip_sample=False, variance_type=variance), 7, None
    yield DDPMScheduler, dict(COSINE, clip_sample=True, clip_sample_range=2.0), 5, None
    yield DDPMScheduler, dict(SD, clip_sample=False, rescale_betas_zero_snr=True, timestep_spacing="trailing",
                              prediction_type="v_prediction"), 5, None


def sigma_cases(kind, **fixed):
    """(config, steps) of a class that walks sigmas."""
    spacing = ("leading", "trailing", "linspace")
    ancestral, dpm = kind is EulerAncestralDiscreteScheduler, kind is DPMSolverMultistepScheduler
    kinds = ("epsilon", "v_prediction") if ancestral else ("epsilon", "v_prediction", "sample")
    for space, what, karras in itertools.product(spacing, kinds, (False,) if ancestral else (False, True)):
        config = dict(SD, timestep_spacing=space, prediction_type=what, steps_offset=1 if space == "leading" else 0)
        yield dict(config, **({"use_karras_sigmas": True} if karras else {}), **fixed), 6
    for space, steps in itertools.product(spacing, (1, 2, 7, 20)):
        yield dict(LINEAR, timestep_spacing=space, **fixed), steps
    yield dict(SD, **fixed), 20  # the class's own spacing
    yield dict(SD, timestep_spacing="trailing", prediction_type="v_prediction", rescale_betas_zero_snr=True, **fixed), 6
    yield dict(trained_betas=[0.01 * (i + 1) for i in range(10)], num_train_timesteps=10, **fixed), 5
    yield dict(COSINE, timestep_spacing="leading", **fixed), 6
    if not ancestral:
        yield dict(SD, timestep_spacing="trailing", final_sigmas_type="sigma_min", **fixed), 6
        yield dict(SD, timestep_spacing="trailing", final_sigmas_type="sigma_min", **fixed), 16
        yield dict(SD, timestep_spacing="trailing", use_karras_sigmas=True, **fixed), 20
        yield dict(SD, timestep_spacing="leading", final_sigmas_type="sigma_min", use_karras_sigmas=True, **fixed), 6
    if dpm:
        yield dict(SD, timestep_spacing="trailing", solver_order=1, **fixed), 6
        yield dict(SD, final_sigmas_type="sigma_min", lower_order_final=False, **fixed), 6
        yield dict(SD, final_sigmas_type="sigma_min", euler_at_final=True, **fixed), 16
        yield dict(COSINE, use_karras_sigmas=True, lambda_min_clipped=-5.1, prediction_type="v_prediction", **fixed), 6
        yield dict(COSINE, lambda_min_clipped=-5.1, **fixed), 6


def model(x, t):
    return x / 2 + t / 2000


def ddim_step(scheduler, x, t, k, eta):
    prev = t - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    std = eta * float(scheduler._get_variance(t, prev)) ** 0.5
    result = scheduler.step(model(x, t), t, x, eta=eta, variance_noise=NOISE[k] if eta > 0 else None)
    return max(prev, -1), std, result


def ddpm_step(scheduler, x, t, k, _):
    scheduling_ddpm.randn_tensor = lambda *args, **kwargs: NOISE[k]
    result = scheduler.step(model(x, t)[None], t, x[None])  # it looks at axis 1 for a learned variance
    std = float(scheduler._get_variance(t)) ** 0.5 if t > 0 else 0.0
    return int(scheduler.previous_timestep(torch.tensor(t))), std, result


def trace(kind, config, steps, eta):
    scheduler = kind(**config)
    scheduler.set_timesteps(steps)
    step = ddim_step if kind is DDIMScheduler else ddpm_step
    x, rows = START, []
    for k, t in enumerate(scheduler.timesteps.tolist()):
        prev, std, result = step(scheduler, x, t, k, eta)
        x = result.prev_sample.reshape(x.shape)
        if x.dtype != torch.float64 or not torch.isfinite(x).all():
            raise SystemExit(f"{config}: step {t} gave {x}")
        rows.append({"t": t, "prev": prev, "std": std, "x0": result.pred_original_sample.flatten().tolist(), "x": x.tolist()})
    case = {"config": {"_class_name": kind.__name__, **config}, "steps": steps}
    if eta is not None:
        case["eta"] = eta
    return case | {"timesteps": scheduler.timesteps.tolist(), "rows": rows}


def nine(tensor):
    return [float(f"{v:.9g}") for v in tensor.flatten().tolist()]


def sigma_trace(kind, config, steps):
    scheduler = kind(**config)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    x, rows, extra = START.float() * scheduler.init_noise_sigma, [], {}
    for k, t in enumerate(scheduler.timesteps):
        scheduling_euler_ancestral_discrete.randn_tensor = lambda *args, **kwargs: LONG_NOISE[k].float()
        if config.get("algorithm_type") == "sde-dpmsolver++":
            extra = {"variance_noise": LONG_NOISE[k]}
        m = model(scheduler.scale_model_input(x, t), float(t))
        result = scheduler.step(m, t, x, **extra)
        x0 = scheduler.model_outputs[-1] if kind is DPMSolverMultistepScheduler else result.pred_original_sample
        x = result.prev_sample
        if x.dtype != torch.float32 or not torch.isfinite(x).all():
            raise SystemExit(f"{config}: step {t} gave {x}")
        rows.append([float(t)] + nine(x0) + nine(x))
    init = float(scheduler.init_noise_sigma)
    return {"config": {"_class_name": kind.__name__, **config}, "steps": steps, "init": init, "rows": rows}


def alphas():
    """Cumulative products at a few timesteps, for every schedule of betas."""
    rows = []
    for config in (SD, LINEAR, COSINE, dict(SD, rescale_betas_zero_snr=True)):
        table = DDIMScheduler(**config).alphas_cumprod
        at = [0, 1, 250, 500, 750, 998, 999]
        rows.append({"config": config, "at": at, "alphas_cumprod": [table[t].item() for t in at]})
    return rows


def main():
    path = common.folder("schedulers")
    for kind, name in ((DDIMScheduler, "ddim"), (DDPMScheduler, "ddpm")):
        traces = [trace(*case) for case in cases() if case[0] is kind]
        head = {"start": START.tolist(), "noise": NOISE.tolist(), "model": "x/2 + t/2000", "alphas": alphas()}
        body = ",\n".join(json.dumps(case, separators=(",", ":")) for case in traces)
        text = json.dumps(head, separators=(",", ":"))[:-1] + ',"cases":[\n' + body + "\n]}\n"
        json.loads(text)
        (path / f"{name}.json").write_text(text)
        print(f"  {name}: {len(traces)} cases")
    for name, kind, fixed in (("euler", EulerDiscreteScheduler, {}), ("euler_a", EulerAncestralDiscreteScheduler, {}),
                              ("dpmpp2m", DPMSolverMultistepScheduler, {}),
                              ("dpmpp2m_sde", DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"})):
        traces = [sigma_trace(kind, *case) for case in sigma_cases(kind, **fixed)]
        head = {"start": START.tolist(), "noise": LONG_NOISE.tolist(), "model": "c_in x/2 + t/2000"}
        body = ",\n".join(json.dumps(case, separators=(",", ":")) for case in traces)
        (path / f"{name}.json").write_text(json.dumps(head, separators=(",", ":"))[:-1] + ',"cases":[\n' + body + "\n]}\n")
        print(f"  {name}: {len(traces)} cases")
    common.report(path)


if __name__ == "__main__":
    main()
