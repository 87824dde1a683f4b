"""The standing fault tests: kill -9 of workers, the controller, loaders and both sides of a migration, at random moments.

    python -m tests.serve.faults --kills 20                      # of each kind
    python -m tests.serve.faults --kills 100 --seed 7 loader     # of one kind, at other moments

Exits with 1 if anything was lost or came twice. The suite runs the same with a few kills and fixed seeds.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
KINDS = {
    "worker": ["test_faults.py::test_workers_are_killed"],
    "controller": ["test_faults.py::test_the_controller_is_killed"],
    "loader": ["test_tiers.py::test_killed_at_any_time"],
    "migration": [
        "test_migration.py::test_killed_at_any_time",
        "test_faults.py::test_either_side_of_a_move_is_killed",
    ],
}


def main() -> int:
    import pytest

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="of each kind (default 20)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="other moments (default 0)")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)} (default: all)")
    args = parser.parse_args()
    if unknown := set(args.kinds) - set(KINDS):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(KINDS)}")
    if args.kills < 1:
        parser.error("--kills: expected at least 1")
    os.environ |= {"MESHLANG_KILLS": str(args.kills), "MESHLANG_SEED": str(args.seed)}
    tests = [f"{FOLDER / test}" for kind in args.kinds or KINDS for test in KINDS[kind]]
    return int(pytest.main(["-v", "-rfEP", "-p", "no:cacheprovider", *tests]))


if __name__ == "__main__":
    sys.exit(main())
