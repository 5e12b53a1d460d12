"""The JSON Schemas of our reports, closed: a key that they do not name is an error here, while a reader of a report must
ignore it."""

import functools
import json
import os
import pathlib

import jsonschema

FOLDER = pathlib.Path(os.environ["CKPT_TESTDATA"]).parent / "docs" / "schema"


def closed(schema):
    """`schema` with no room for keys that it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: part if key in ("if", "then", "not") else closed(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict):
        out.setdefault("additionalProperties", False)
    return out


def schema_of(name):
    return json.loads((FOLDER / f"{name}.schema.json").read_text())


@functools.cache
def validator(name):
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(closed(schema))


def check(document):
    """A report of ours, by the schema that it names."""
    validator(document["schema"].removeprefix("ckpt.").removesuffix("/1")).validate(document)


def check_output(command, stdout):
    """What the program printed, where that is JSON."""
    command = [os.fspath(word) if isinstance(word, os.PathLike) else word for word in command]
    if not stdout or command[0] != os.environ["CKPT_BINARY"] or "--format" not in command:
        return
    form = command[command.index("--format") + 1]
    if form == "json":
        check(json.loads(stdout))
    elif form in ("jsonl", "records"):
        for line in stdout.splitlines():
            check(json.loads(line))
