"""Where the generators put their files: --out FOLDER, or the folder above this one."""

import argparse
import pathlib


def testdata():
    """The folder that holds all fixtures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    return parser.parse_args().out


def folder(*parts):
    """A folder of fixtures, made if need be."""
    path = testdata().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path
