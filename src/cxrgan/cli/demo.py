"""`cxrgan demo`."""

from dataclasses import dataclass
from pathlib import Path

from cxrgan.cli.evaluate import Evaluate
from cxrgan.cli.report import Report
from cxrgan.cli.train import train
from cxrgan.lines import say
from cxrgan.recipes.named import recipe


@dataclass(frozen=True)
class Demo:
    """See everything once, in minutes and offline: phantom X-rays, a short training, images, metrics, a report."""

    out: Path = Path("demo")
    """Folder for everything that is made; an interrupted demo continues there."""

    def run(self) -> int:
        from cxrgan.data.dataset import load_dataset
        from cxrgan.data.prepare import prepare
        from cxrgan.generation.generator import load_generator
        from cxrgan.runs.folder import RunFolder
        from cxrgan.training.distributed import ALONE
        from cxrgan.training.loop import start

        data, run, images = self.out / "data", self.out / "run", self.out / "images"
        if not (data / "manifest.json").exists():
            say("1. drawing 2000 phantom chest X-rays, 64 x 64 pixels")
            prepare("phantom", data, size=64, num=2000)
        dataset, folder = load_dataset(data), RunFolder(run)
        if not folder.config_file.exists():
            folder = start(recipe("quick"), dataset, run, recipe="quick", data=str(data.resolve()))
        say(f"2. training the recipe `quick` on {len(dataset.images)} of them")
        status = train(folder, folder.read_info().config, dataset, ALONE)
        if status == 0:
            if images.exists():
                say(f"3. the images of {images} were made before")
            else:
                say("3. making 64 images")
                load_generator(run).sample(64, seed=0).save(images)
            say(f"the images:       {images / 'grid.png'}")
            say(f"real beside fake: {run / 'samples' / 'real-and-fake-end.png'}")
            say(f"the losses:       {run / 'losses.png'}")
            say("4. measuring them with the network that comes with cxrgan")
            Evaluate(target=run, data=data, rulers=("domain",)).run()
            say("5. all of it on one page")
            Report(target=run).run()
            say("next, on your own X-rays: cxrgan prepare FOLDER --out data/mine")
        return status
