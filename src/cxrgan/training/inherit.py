"""The first weights of a run that starts from another one: the same networks, or grown to twice the image size."""

import torch

from cxrgan.errors import UserError
from cxrgan.generation.latents import seed_labels, seed_latents
from cxrgan.lines import pasted
from cxrgan.models.build import build_discriminator, build_generator
from cxrgan.models.grow import check_can_become, grow_discriminator, grow_generator
from cxrgan.recipes.config import TrainConfig
from cxrgan.runs.checkpoint import Progress, load_network, save_checkpoint
from cxrgan.runs.folder import Ancestor, RunFolder
from cxrgan.training.step import Players, new_players

NUM_MEASURED = 1024  # latents whose images tell what a grown generator's new BatchNorm has to undo


def ancestor_of(source: RunFolder, config: TrainConfig, classes: dict[str, int]) -> Ancestor:
    """Which weights a run of `config` would start from, if it started from `source`; UserError if it cannot."""
    info = source.read_info()
    if list(info.classes) != list(classes):
        was, now = (", ".join(names) or "none" for names in (info.classes, classes))
        raise UserError(f"{source.path} was trained on the classes {was}, this run has {now}; they must be the same")
    check_can_become(info.config.model, config.model)
    if not source.steps():
        raise UserError(f"{source.path} has no checkpoint yet; train it: {pasted('train', '--resume', source.path)}")
    step = source.steps()[-1]
    own = next((float(row["seconds"]) for row in source.rows() if row["step"] == step), 0.0)  # the log may go on
    earlier = info.started_from.seconds if info.started_from else 0.0
    return Ancestor(source.path.resolve().name, step, round(earlier + own, 3))


def inherit(folder: RunFolder, config: TrainConfig, source: RunFolder, ancestor: Ancestor) -> None:
    """Write the checkpoint of step 0, from which training then goes on as from any other."""
    info = source.read_info()
    was, checkpoint = info.config, source.checkpoint(ancestor.step)
    players = new_players(config, torch.device("cpu"))
    grows, same_size = was.model != config.model, was.model.image_size == config.model.image_size
    for name, network in players.networks.items():
        of = name if name != "average" or was.ema_halflife else "generator"
        is_judge = name == "discriminator"
        if not grows or (same_size and not is_judge):
            load_network(checkpoint, of, network)
            continue
        with torch.device("meta"):
            small = (build_discriminator if is_judge else build_generator)(was.model)
        load_network(checkpoint, of, small)
        if is_judge:
            grow_discriminator(network, small, config.model, was.model)
        else:
            labels = seed_labels(list(info.classes.values()), range(NUM_MEASURED))
            grow_generator(network, small, was.model, seed_latents(was.model, range(NUM_MEASURED), labels))
    _save(folder, config, players)


def _save(folder: RunFolder, config: TrainConfig, players: Players) -> None:
    """Nothing of an optimiser's state is inherited: it begins as Adam does before its first step."""
    for optimizer in players.optimizers.values():
        for parameter in optimizer.param_groups[0]["params"]:
            zeros = {mean: torch.zeros_like(parameter) for mean in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {"step": torch.tensor(0.0), **zeros}
    save_checkpoint(
        folder.checkpoint(0),
        networks=players.networks,
        optimizers=players.optimizers,
        config=config,
        progress=Progress(0, 0.0),
    )
