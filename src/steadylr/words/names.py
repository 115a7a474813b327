"""What each door calls the settings that sentences speak of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    """One door's names, as its users write them.

    Args:
        start_lr, end_lr, num_iter: of the ramp.
        smooth_f, ema_weight, skip_start, skip_end: of the reading.
        batch_size: samples of a batch.
        precision: of the arithmetic.
        in_float32: what to do against losses that overflow.
        without_fp16: what to do against gradients that overflow.
        pretrained, larger_batches, more_steps: ways to reduce a spread.
        choose: how to choose a number of the consensus; {choice} is its name.
        stream: how to give a stream several seeds; {stream} and {levels}.
        streams: how to vary streams independently, with {streams}: each as above, joined by `joined`.
        joined: see streams.
        unmixed: how to keep different kinds of run apart.
        total_steps: of the planned training.
        for_length: what settles the LR for a length, with {steps}.
        more_budget: how to let that take longer.
    """

    start_lr: str
    end_lr: str
    num_iter: str
    smooth_f: str
    ema_weight: str
    skip_start: str
    skip_end: str
    batch_size: str
    precision: str
    in_float32: str
    without_fp16: str
    pretrained: str
    larger_batches: str
    more_steps: str
    choose: str
    stream: str
    streams: str
    joined: str
    unmixed: str
    total_steps: str
    for_length: str
    more_budget: str


COMMAND_LINE = Names(
    start_lr="finder.start_lr",
    end_lr="finder.end_lr",
    num_iter="finder.num_iter",
    smooth_f="finder.smooth_f",
    ema_weight="finder.ema_weight",
    skip_start="finder.skip_start",
    skip_end="finder.skip_end",
    batch_size="data.batch_size",
    precision="device.precision",
    in_float32="set device.precision=32",
    without_fp16="use device.precision=bf16-mixed, or 32",
    pretrained="pretrained weights (model.weights)",
    larger_batches="larger batches (data.batch_size)",
    more_steps="more steps (finder.num_iter)",
    choose="consensus.choose={choice}",
    stream="seeds.{stream}='range(0,{levels})'",
    streams="-m {streams}, or +experiment=attribution",
    joined=" ",
    unmixed="Leave consensus.mix=true out",
    total_steps="onecycle.total_steps",
    for_length="python src/find_lr.py -m +experiment=for_length onecycle.total_steps={steps}",
    more_budget="a larger hydra.sweeper.budget",
)
"""Keys of the config: what the commands say."""

PYTHON = Names(
    start_lr="ramp.start_lr",
    end_lr="ramp.end_lr",
    num_iter="ramp.num_iter",
    smooth_f="reading.smooth_f",
    ema_weight="reading.ema_weight",
    skip_start="reading.skip_start",
    skip_end="reading.skip_end",
    batch_size="the batch size",
    precision="the precision",
    in_float32="train in float32",
    without_fp16="use bfloat16, or float32",
    pretrained="pretrained weights",
    larger_batches="larger batches",
    more_steps="more steps (ramp.num_iter)",
    choose='choose="{choice}"',
    stream="{levels} seeds of {stream}",
    streams="{streams}",
    joined=" with each of ",
    unmixed="Read them apart",
    total_steps="total_steps",
    for_length="steadylr.lr_for_length(train, steadylr.Ladder({steps}, ...))",
    more_budget="a larger budget",
)
"""Arguments as a program writes them: ramp is a Ramp, reading a Reading."""
