"""The outputs of TensorFlow's operations, from its own registry, as lib/tf_graph/op_output_rows.inc has them.

    python tf_op_outputs.py FILE

adds the operations of the TensorFlow that runs it to FILE (or makes it), sorted by name; where FILE has the operation
with other outputs, that is told and the newer one stays.  Made with TensorFlow 2.15.1, then 2.21.0.

A row is {"Operation", "argument:type,..."}.  A type is a number of DataType, an attribute with its default if it has
one ("T", "out_type=3"), or "[Tout]", an attribute that is a list of types; "N*" before it repeats it as often as the
attribute says, whose default follows in the same way ("N=1*").
"""

import os
import pathlib
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session as session

ROW = re.compile(r'\{"([^"]+)", "([^"]+)"\},')


def registered():
    ops = op_def_pb2.OpList()
    ops.ParseFromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
    return ops.op


def outputs_of(op):
    defaults = {attr.name: attr.default_value for attr in op.attr if attr.HasField("default_value")}

    def attribute(name, kind):
        default = getattr(defaults[name], kind) if name in defaults else 0
        return f"{name}={default}" if default else name

    arguments = []
    for argument in op.output_arg:
        if argument.type_list_attr:
            kind = f"[{argument.type_list_attr}]"
        elif argument.type_attr:
            kind = attribute(argument.type_attr, "type")
        else:
            kind = str(argument.type % 100)
        count = attribute(argument.number_attr, "i") + "*" if argument.number_attr else ""
        arguments.append(f"{argument.name}:{count}{kind}")
    return ",".join(arguments)


def main(path):
    rows = dict(ROW.findall(path.read_text())) if path.exists() else {}
    for op in registered():
        outputs = outputs_of(op)
        if not outputs:
            continue
        if rows.get(op.name, outputs) != outputs:
            print(f"{op.name}: {rows[op.name]} -> {outputs}")
        rows[op.name] = outputs
    head = "// Made by testdata/generators/tf_op_outputs.py, which explains the rows; sorted by operation.\n"
    path.write_text(head + "".join(f'{{"{name}", "{outputs}"}},\n' for name, outputs in sorted(rows.items())))
    print(f"TensorFlow {tf.__version__}: {len(rows)} operations")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
