"""ONNX models in float64 whose graphs, inside of nodes and functions, know constants by other names than their own: through
Identity, through an input of a function, or by a name that hides another one. Each is valid for onnx.checker."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

BATCH_NORM = ("gamma", "beta", "mean", "variance")


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, [outputs] if isinstance(outputs, str) else outputs, **attributes)


def conv(x, y, kernel="w"):
    return node("Conv", [x, kernel], y)


def norm(x, y, scope="bn"):
    return node("BatchNormalization", [x, *(f"{scope}.{part}" for part in BATCH_NORM)], y)


def info(name, shape=(None,) * 4, dtype=TensorProto.DOUBLE):
    return helper.make_tensor_value_info(name, dtype, shape)


def graph(nodes, outputs, inputs=(), initializers=()):
    typed = [[value if not isinstance(value, str) else info(value) for value in values] for values in (inputs, outputs)]
    return helper.make_graph(nodes, "graph", typed[0], typed[1], list(initializers))


def choose(then_graph, else_graph, condition="yes", y="r"):
    return node("If", [condition], y, then_branch=then_graph, else_branch=else_graph)


def negated(x="x"):
    return graph([node("Neg", [x], "negated")], ["negated"])


def body(nodes, state):
    """Of a Loop that goes on: from `state` to "next"."""
    go_on = node("Identity", ["go_in"], "go_out")
    scalar = {"shape": ()}
    return graph([*nodes, go_on], [info("go_out", dtype=TensorProto.BOOL, **scalar), "next"],
                 [info("round", dtype=TensorProto.INT64, **scalar), info("go_in", dtype=TensorProto.BOOL, **scalar), state])


def loop(inner, x, y):
    return node("Loop", ["rounds", "go", x], y, body=inner)


def function(inputs, outputs, nodes):
    return helper.make_function("local", "Block", inputs, outputs, nodes,
                                [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)])


def model(nodes, functions=(), inputs=("x",), outputs=("y",)):
    random = np.random.default_rng(5)
    shapes = {"w": (4, 4, 1, 1)} | {f"{scope}.{part}": (4,) for scope in ("bn", "bn2") for part in BATCH_NORM}
    stored = [numpy_helper.from_array(random.uniform(0.5 if part.endswith(("gamma", "variance")) else -1, 2, shape), part)
              for part, shape in shapes.items()]
    stored += [numpy_helper.from_array(np.array(3), "rounds"), numpy_helper.from_array(np.array(True), "go")]
    whole = graph(nodes, outputs, [info("x", (1, 4, 5, 5)), *inputs[1:]], stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(whole, opset_imports=opsets, ir_version=8, functions=list(functions))


def models():
    yes = info("yes", (), TensorProto.BOOL)
    parts = ["p", "q", "s", "t"]
    plain = [conv("x", "c"), norm("c", "n")]
    ends = [node("Add", ["n", "r"], "y")]
    inner = graph([conv("n", "c2", "alias"), norm("c2", "n2", "bn2")], ["n2"])
    of_x = graph([conv("x", "c2", "alias"), norm("c2", "n2", "bn2")], ["n2"])
    alias = node("Identity", ["w"], "alias")

    def called(given):
        return node("Block", ["x", "yes", given, *(f"bn2.{part}" for part in BATCH_NORM)], "r", domain="local")

    def block(before, kernel):
        given = graph([conv("x", "c2", kernel), node("BatchNormalization", ["c2", *parts], "n2")], ["n2"])
        return function(["x", "yes", "w", *parts], ["r"], [*before, choose(given, negated())])

    return {
        "an_alias_of_a_branch_that_a_branch_within_reads":
            model([choose(graph([alias, *plain, choose(inner, negated("n"))], ["r"]), negated(), y="y")], inputs=("x", yes)),
        "an_alias_of_a_loop_that_a_branch_within_reads":
            model([loop(body([alias, conv("s", "c"), norm("c", "n"), choose(inner, negated("n"), "go_in", "next")], "s"),
                        "x", "y")]),
        "an_alias_of_a_function_that_a_branch_within_reads":
            model([called("w"), *plain, *ends], [block([alias], "alias")], ("x", yes)),
        "an_alias_that_a_function_is_given":
            model([alias, called("alias"), *plain, *ends], [block([], "w")], ("x", yes)),
        "a_constant_that_a_function_yields":
            model([node("Block", ["x", "w", *(f"bn.{part}" for part in BATCH_NORM)], ["n", "alias"], domain="local"),
                   choose(of_x, negated()), *ends],
                  [function(["x", "w", *parts], ["n", "raw"],
                            [conv("x", "c"), node("BatchNormalization", ["c", *parts], "n"), node("Identity", ["w"], "raw")])],
                  ("x", yes)),
        "a_state_that_hides_the_name_behind_an_alias":
            model([alias, conv("x", "c0"),
                   loop(body([conv("w", "c", "alias"), norm("c", "n"), node("Tanh", ["n"], "next")], "w"), "c0", "y")]),
        "an_alias_that_nothing_reads":
            model([choose(graph([*plain, node("Identity", ["w"], "unread")], ["n"]),
                          graph([conv("x", "c2"), norm("c2", "n2", "bn2")], ["n2"]), y="y")], inputs=("x", yes)),
        "a_state_with_the_name_of_a_kernel":
            model([loop(body([norm("w", "n"), node("Tanh", ["n"], "next")], "w"), "x", "y0"), conv("y0", "c"),
                   norm("c", "n5"), conv("n5", "c3"), norm("c3", "y", "bn2")]),
    }
