"""Small synthetic data in exactly the layouts of the public data sets, learnable and repeatable.

``python -m tests.layouts {esc50|esc10|cifar10|cifar100|filmtrust|ciao} DIR [--per-class N]
[--seed S]``: the same arguments write the same bytes. `--per-class` counts clips or training
pictures a class (a fifth of that again for test pictures); rating data get 8 N users.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ESC50 = """
dog rooster pig cow frog cat hen insects sheep crow rain sea_waves crackling_fire crickets
chirping_birds water_drops wind pouring_water toilet_flush thunderstorm crying_baby sneezing
clapping breathing coughing footsteps laughing brushing_teeth snoring drinking_sipping
door_wood_knock mouse_click keyboard_typing door_wood_creaks can_opening washing_machine
vacuum_cleaner clock_alarm clock_tick glass_breaking helicopter chainsaw siren car_horn engine
train church_bells airplane fireworks hand_saw
"""
ESC50 = _ESC50.split()
ESC10 = (0, 1, 10, 11, 12, 20, 21, 38, 40, 41)
_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR10 = _CIFAR10.split()
CIFAR100 = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
FINE = sorted(name for names in CIFAR100.values() for name in names.split())
COARSE = list(CIFAR100)
ESC_RATE = 44_100


def tone(target: int, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A clip of class `target`: its own pitch and pulse, another class's faintly, and noise."""
    time = np.arange(int(seconds * ESC_RATE)) / ESC_RATE
    clip = np.zeros_like(time)
    for which, loud in ((target, 0.3), (int(rng.integers(50)), rng.uniform(0, 0.15))):
        pitch = 150 * 2 ** (which / 10) * rng.uniform(0.99, 1.01)
        pulse = 1 + 0.8 * np.sin(2 * np.pi * (1 + which % 7) * time + rng.uniform(0, 6))
        clip += loud * pulse * np.sin(2 * np.pi * pitch * time) / 1.8
    clip += rng.normal(0, rng.uniform(0.01, 0.1), len(time))
    return clip


def write_esc(
    root: Path, per_class: int = 10, seed: int = 0, *, subset10: bool = False, seconds: float = 5.0
) -> None:
    """The ESC-50 repository: 44.1 kHz 16-bit WAV; two clips a recording; some end in zeros."""
    import soundfile

    rng = np.random.default_rng(seed)
    (root / "meta").mkdir(parents=True, exist_ok=True)
    (root / "audio").mkdir(exist_ok=True)
    rows = []
    for target in ESC10 if subset10 else range(len(ESC50)):
        for number in range(per_class):
            # A recording gives the clips 2r and 2r+1 of a fold, as takes A and B.
            fold, nth = number % 5 + 1, number // 5
            src, take = 100_000 + 1000 * target + 10 * (nth // 2) + fold, "AB"[nth % 2]
            clip = tone(target, seconds, rng)
            if number % 4 == 0:
                clip[int(len(clip) * rng.uniform(0.5, 0.9)) :] = 0.0
            name = f"{fold}-{src}-{take}-{target}.wav"
            soundfile.write(root / "audio" / name, clip.clip(-1, 1), ESC_RATE, subtype="PCM_16")
            rows.append((name, fold, target, ESC50[target], target in ESC10, src, take))
    with (root / "meta" / "esc50.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("filename", "fold", "target", "category", "esc10", "src_file", "take"))
        writer.writerows(sorted(rows))


def texture(label: int, num_classes: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A 32 x 32 RGB picture of class `label`: stripes of its own angle, width and colour."""
    y, x = np.mgrid[:32, :32]
    own = np.random.default_rng([label, num_classes])
    angle, width, colour = own.uniform(0, np.pi), own.uniform(3, 10), own.uniform(0.2, 1, 3)
    angle += rng.normal(0, 0.1)
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / width + rng.uniform(0, 6))
    picture = 128 + 70 * wave[:, :, None] * colour + rng.normal(0, 30, (32, 32, 3))
    pixels: NDArray[np.uint8] = picture.clip(0, 255).astype(np.uint8)
    return pixels


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG bytes of RGB pixels."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def write_parquet(
    file: Path, pictures: Sequence[bytes], labels: dict[str, Sequence[int]],
    names: dict[str, Sequence[str]],
) -> None:  # fmt: skip
    """One file of the hub's Parquet layout, class names in the schema metadata `huggingface`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features: dict[str, object] = {"img": {"_type": "Image"}}
    features |= {key: {"names": list(names[key]), "_type": "ClassLabel"} for key in labels}
    schema = pa.schema(
        [("img", picture), *((key, pa.int64()) for key in labels)],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    rows = [{"bytes": png, "path": f"{row:06d}.png"} for row, png in enumerate(pictures)]
    columns = [pa.array(rows, picture), *(pa.array(v, pa.int64()) for v in labels.values())]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), file, row_group_size=10_000)


def write_cifar(root: Path, per_class: int = 20, seed: int = 0, *, fine: bool = False) -> None:
    """The hub's CIFAR-10 (five training files) or CIFAR-100 (one, fine and coarse labels)."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    classes = FINE if fine else CIFAR10
    coarse_of = {name: n for n, names in enumerate(CIFAR100.values()) for name in names.split()}
    for split, count, shards in (
        ("train", per_class, 1 if fine else 5),
        ("test", max(1, per_class // 5), 1),
    ):
        order = rng.permutation(np.repeat(np.arange(len(classes)), count))
        for at, part in enumerate(np.array_split(order, shards)):
            labels = part.tolist()
            pictures = [encode_png(texture(label, len(classes), rng)) for label in labels]
            file = root / f"{split}-{at:05d}-of-{shards:05d}.parquet"
            if fine:
                coarse = [coarse_of[FINE[label]] for label in labels]
                columns = {"fine_label": labels, "coarse_label": coarse}
                write_parquet(file, pictures, columns, {"fine_label": FINE, "coarse_label": COARSE})
            else:
                write_parquet(file, pictures, {"label": labels}, {"label": CIFAR10})


def tastes(
    num_users: int, num_items: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Distinct rated pairs (n, 2), their liking (n,) about N(0, 1), and links (m, 2).

    Users fall into four circles that share a taste; most links stay within a circle.
    """
    circle = rng.integers(4, size=num_users)
    user_taste = rng.normal(0, 1, (4, 3))[circle] + rng.normal(0, 0.3, (num_users, 3))
    item_taste = rng.normal(0, 0.5, (num_items, 3))
    user_bias, item_bias = rng.normal(0, 0.4, num_users), rng.normal(0, 0.5, num_items)
    popular = 1 / (1 + np.arange(num_items))
    popular /= popular.sum()
    pairs = np.array([
        (user, item)
        for user in range(num_users)
        for item in rng.choice(num_items, int(rng.integers(8, 20)), replace=False, p=popular)
    ])  # fmt: skip
    user, item = pairs.T
    like = (user_taste[user] * item_taste[item]).sum(1) + user_bias[user] + item_bias[item]
    one, two = rng.integers(num_users, size=(2, 6 * num_users))
    near = (circle[one] == circle[two]) | (rng.random(len(one)) < 0.1)
    links = np.unique(np.stack((one, two), 1)[near & (one != two)], axis=0)
    return pairs, like + rng.normal(0, 0.4, len(like)), links


def write_filmtrust(root: Path, per_class: int = 20, seed: int = 0) -> None:
    """`ratings.txt` (0.5 to 4 by halves, two duplicates) and `trust.txt` (one user unknown)."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    num_users, num_items = 8 * per_class, max(30, 6 * per_class)
    pairs, like, links = tastes(num_users, num_items, rng)
    rating = ((like * 0.7 + 2.8) * 2).round().clip(1, 8) / 2
    lines = [f"{u + 1} {i + 1} {r:g}" for (u, i), r in zip(pairs.tolist(), rating, strict=True)]
    lines += lines[:2]
    trust = [f"{a + 1} {b + 1} 1" for a, b in links.tolist()] + [f"1 {num_users + 7} 1"]
    (root / "ratings.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "trust.txt").write_text("\n".join(trust) + "\n", encoding="utf-8")


def write_mat(file: Path, variable: str, matrix: NDArray[np.generic]) -> None:
    """A compressed MATLAB 5 file, without the time of writing in its header."""
    import scipy.io

    stream = io.BytesIO()
    scipy.io.savemat(stream, {variable: matrix}, do_compression=True)
    file.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + stream.getvalue()[116:])


def write_ciao(root: Path, per_class: int = 20, seed: int = 0) -> None:
    """`rating.mat` (user, item, category, rating, helpfulness; some rated 0) and its trust."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    pairs, like, links = tastes(8 * per_class, max(30, 12 * per_class), rng)
    rating = (like + 3.8).round().clip(1, 5).astype(np.int32)
    extra = rng.integers(1, 6, (len(pairs), 2))
    table = np.column_stack((pairs + 1, extra[:, 0], rating, extra[:, 1])).astype(np.int32)
    zero = np.array([[1, 1_000_000, 1, 0, 1], [2, 1_000_001, 1, 0, 1]], dtype=np.int32)
    write_mat(root / "rating.mat", "rating", np.concatenate((table, zero)))
    write_mat(root / "trustnetwork.mat", "trustnetwork", (links + 1).astype(np.uint16))


def main(argv: Sequence[str] | None = None) -> None:
    """Write one data set."""
    parser = argparse.ArgumentParser(prog="python -m tests.layouts", description=__doc__)
    writers: dict[str, Callable[[Path, int, int, float], None]] = {
        "esc50": lambda d, n, s, t: write_esc(d, n, s, seconds=t),
        "esc10": lambda d, n, s, t: write_esc(d, n, s, subset10=True, seconds=t),
        "cifar10": lambda d, n, s, t: write_cifar(d, n, s),
        "cifar100": lambda d, n, s, t: write_cifar(d, n, s, fine=True),
        "filmtrust": lambda d, n, s, t: write_filmtrust(d, n, s),
        "ciao": lambda d, n, s, t: write_ciao(d, n, s),
    }
    parser.add_argument("layout", choices=writers)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--per-class", type=int, default=10, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the sound clips")
    args = parser.parse_args(argv)
    if args.per_class < 1:
        parser.error("--per-class must be 1 or more")
    writers[args.layout](args.folder, args.per_class, args.seed, args.seconds)


if __name__ == "__main__":
    main()
