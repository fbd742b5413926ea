"""Whether the floor of the Frechet distance follows its law, on the shipped features of real images.

    python benchmarks/floor.py [--reference kermany-64 kermany-128]

Real images are held against other real images at several numbers. Were the law c (1 / n + 1 / m) exact, every row would
give the same distance when it is brought to 5,190 against 5,190, of which there are not enough to measure it.
"""

import argparse
import itertools

from cxrgan.evaluation.compare import NUM_FRECHET_DRAWS
from cxrgan.evaluation.floor import Draws, frechet_correction, measure_floors
from cxrgan.evaluation.metrics import Features, frechet_distance
from cxrgan.evaluation.rulers import SHIPPED
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.generation.shipped import REFERENCES, read_reference

NUMBERS = ((500, 500), (1000, 1000), (2000, 2000), (2595, 2595), (4190, 1000), (3190, 2000))
WANTED = (5190, 5190)


def distance(real: Features, fake: Features) -> dict[str, float]:
    return {"frechet_distance": frechet_distance(real=real, fake=fake)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", nargs="+", default=list(REFERENCES), choices=REFERENCES)
    networks, _ = load_networks(SHIPPED)
    for name, network in itertools.product(parser.parse_args().reference, networks):
        features = read_reference(name).features[network.sha256][network.main_tap]
        print(f"\n| {name}, {network.name} | floor ± deviation of a draw | brought to 5,190 against 5,190 |")
        print("| --- | --- | --- |")
        for numbers in NUMBERS:
            draws = Draws(*numbers, num=NUM_FRECHET_DRAWS, seed=0)
            floor = measure_floors(distance, features, draws)["frechet_distance"]
            brought = floor.mean * frechet_correction(numbers, WANTED)
            print(f"| {numbers[0]:,} against {numbers[1]:,} | {floor.mean:.3f} ± {floor.std:.3f} | {brought:.3f} |")


if __name__ == "__main__":
    main()
