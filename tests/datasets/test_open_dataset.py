from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from rrnet_cli.datasets import open_dataset
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.settings import DataSettings, Layout
from tests.datasets.helpers import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("layout", [name for name in get_args(Layout) if name != "digits"])
def test_every_layout_asks_for_its_path(layout, tmp_path):
    with pytest.raises(ConfigError, match="needs a path"):
        open_dataset(DataSettings(layout=layout), None).source()
    with pytest.raises(InputError, match="nowhere does not exist"):
        open_dataset(DataSettings(layout=layout), tmp_path / "nowhere").source()


def test_locating_imports_no_decoder(tmp_path):
    """`source` must be cheap: a cache hit needs neither librosa nor scikit-learn nor Pillow."""
    code = (
        "import sys; from pathlib import Path\n"
        "from rrnet_cli.datasets import open_dataset\n"
        "from rrnet_cli.settings import DataSettings\n"
        "assert open_dataset(DataSettings(layout='digits'), None).source().files\n"
        "for layout in ('audio-folder', 'image-folder', 'ratings', 'image-parquet'):\n"
        "    try: open_dataset(DataSettings(layout=layout), Path('.')).source()\n"
        "    except Exception as error: assert 'empty' in str(error) or 'no' in str(error)\n"
        "heavy = {'librosa', 'soundfile', 'PIL', 'sklearn', 'scipy', 'pyarrow', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


REAL = os.environ.get("RRNET_DATA")


@pytest.mark.skipif(REAL is None, reason="RRNET_DATA names no folder of the real data")
def test_the_real_data_have_their_known_counts():
    root = Path(REAL or "")
    film = load(root / "filmtrust", layout="ratings", rating_min=0.5, rating_max=4.0)
    assert (len(film.user_ids), len(film.item_ids), len(film.rating)) == (1508, 2071, 35494)
    ciao = load(root / "ciao", layout="ciao", rating_min=1, rating_max=5)
    assert (len(ciao.user_ids), len(ciao.rating), ciao.links.shape[1]) == (7375, 282619, 111781)
    esc = load(root / "ESC-10", layout="esc", subset="esc10", fold=1)
    assert np.bincount(esc.roles).tolist() == [288, 32, 80]
    cifar = load(root / "cifar10", layout="image-parquet")
    assert np.bincount(cifar.roles).tolist() == [45_000, 5_000, 10_000]
