"""RR-Net: cross modality mapping by relational reasoning, as cached command-line stages."""

from __future__ import annotations

import os

# Without it, importing dgl writes a configuration file to the user's home and prints about it.
os.environ.setdefault("DGLBACKEND", "pytorch")

__version__ = "0.1.0"
