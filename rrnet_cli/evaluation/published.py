"""The paper's own figures (Sec. IV), table by table: they stand in a column of their own.

A recipe's `paper` section repeats those of RR-Net; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A figure as printed, with the ± that stands beside it (the paper does not say of what)."""

    value: float
    std: float | None = None


TABLE_1: Mapping[str, Mapping[str, Published]] = {
    "ESC-10": {
        "M18": Published(81.8, 0.5),
        "LESM": Published(93.7, 0.1),
        "DMCU": Published(94.6, 0.2),
        "EnvNet": Published(87.2, 0.4),
        "EnvNet-v2": Published(85.8, 0.8),
        "SoundNet8+SVM": Published(92.2, 0.1),
        "AReN": Published(93.6, 0.1),
        "EnvNet-v2 §": Published(89.1, 0.6),
        "RR-Net": Published(96.5, 0.1),
        "human": Published(95.7, 0.1),
    },
    "ESC-50": {
        "M18": Published(68.5, 0.5),
        "LESM": Published(79.1, 0.1),
        "DMCU": Published(79.8, 0.1),
        "EnvNet": Published(70.8, 0.1),
        "EnvNet-v2": Published(74.4, 0.3),
        "SoundNet8+SVM": Published(74.2, 0.3),
        "AReN": Published(75.7, 0.2),
        "EnvNet-v2 §": Published(78.8, 0.3),
        "RR-Net": Published(80.8, 0.1),
        "human": Published(81.3, 0.1),
    },
}
"""Table I: accuracy (%) by data and method. §: strong augmentation and between-class samples."""

TABLE_2: Mapping[str, Mapping[str, tuple[Published, Published]]] = {
    "CIFAR-10": {
        "ResNet18": (Published(87.04), Published(89.63)),
        "ResNet50": (Published(90.78), Published(92.46)),
        "MobileNetV2": (Published(92.36), Published(94.15)),
    },
    "CIFAR-100": {
        "ResNet18": (Published(62.55), Published(64.56)),
        "ResNet50": (Published(72.53), Published(73.76)),
        "MobileNetV2": (Published(66.61), Published(69.84)),
    },
}
"""Table II: top-1 accuracy (%) of the baseline and of RR-Net on it."""

TABLE_3: Mapping[str, Mapping[str, int]] = {
    "FilmTrust": {"users": 1508, "items": 2071, "ratings": 35_497, "links": 1853},
    "Ciao": {"users": 6052, "items": 5042, "ratings": 117_369, "links": 88_244},
}
"""Table III: counts."""

TABLE_4: Mapping[str, Mapping[str, tuple[Published, Published]]] = {
    "FilmTrust": {
        "SoReg": (Published(0.674), Published(0.878)),
        "SVD++": (Published(0.659), Published(0.846)),
        "SocialMF": (Published(0.638), Published(0.837)),
        "TrustMF": (Published(0.650), Published(0.833)),
        "TrustSVD": (Published(0.649), Published(0.832)),
        "LightGCN": (Published(0.669), Published(0.893)),
        "RR-Net": (Published(0.646), Published(0.824)),
    },
    "Ciao": {
        "SoReg": (Published(1.306), Published(1.547)),
        "SVD++": (Published(0.844), Published(1.188)),
        "SocialMF": (Published(0.946), Published(1.254)),
        "TrustMF": (Published(0.937), Published(1.212)),
        "TrustSVD": (Published(0.925), Published(1.202)),
        "LightGCN": (Published(0.796), Published(1.037)),
        "RR-Net": (Published(0.825), Published(1.050)),
    },
}
"""Table IV: MAE and RMSE."""

TABLE_5: Mapping[str, Mapping[int, Published]] = {
    "ESC-50": {
        5: Published(79.4),
        15: Published(79.7),
        20: Published(80.8),
        40: Published(79.6),
        50: Published(76.8),
    },
    "CIFAR-100": {
        10: Published(63.24),
        15: Published(64.56),
        20: Published(63.46),
        50: Published(60.09),
        100: Published(50.73),
    },
}
"""Table V: accuracy (%) by the number K of candidates."""

FIGURE_3_BEST: Mapping[str, int] = {"ESC-10": 16, "FilmTrust": 16, "CIFAR-10": 16}
"""Fig. 3 is a drawing without figures; the text says which width is best."""

FIGURE_4_BEST: Mapping[str, int] = {"ESC-10": 2, "FilmTrust": 5, "CIFAR-10": 5}
"""Fig. 4, the same for the number of units."""
