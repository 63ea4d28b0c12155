"""`python -m rrnet_cli`: the same as the `rrnet` command."""

from __future__ import annotations

from rrnet_cli.cli.app import main

if __name__ == "__main__":
    main()
