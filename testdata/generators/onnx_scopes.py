"""ONNX models with batch norms in functions and in graphs inside of nodes, made with the onnx package.

Makes testdata/onnx_scopes/. Beside each model stands NAME.npz: its inputs ("in_...", several sets one behind another along
axis 0) and its outputs in float64 ("out_..."), by onnx.inliner and onnx.reference from the same weights.
"""

import numpy as np
import onnx
import onnx.inliner
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import paths

OPSET = 17
KINDS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE}
VECTORS = (".weight", ".bias", ".running_mean", ".running_var")
OURS = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]


class Weights:
    """The same numbers for each type of element."""

    def __init__(self, seed, dtype):
        self.random, self.dtype = np.random.RandomState(seed), np.dtype(dtype)

    def tensor(self, name, *shape, low=-1, high=1):
        value = self.random.uniform(low, high, shape).astype(np.float32)
        return numpy_helper.from_array(value.astype(self.dtype), name)

    def vectors(self, scope, channels):
        """gamma, beta, mean, variance."""
        tensors = [self.tensor(scope + suffix, channels, low=low, high=high)
                   for suffix, low, high in zip(VECTORS, (0.5, -1, -1, 0.1), (2, 1, 1, 3))]
        gamma = numpy_helper.to_array(tensors[0]).copy()
        gamma[1::3] *= -1
        return [numpy_helper.from_array(gamma, tensors[0].name)] + tensors[1:]

    def info(self, name, shape):
        return helper.make_tensor_value_info(name, KINDS[self.dtype], shape)

    def model(self, nodes, inputs, outputs, initializers=(), functions=()):
        graph = helper.make_graph(nodes, "net", [self.info(*one) for one in inputs],
                                  [self.info(name, [None] * rank) for name, rank in outputs], list(initializers))
        opsets = OURS[:1] + [helper.make_opsetid(domain, 1) for domain in sorted({f.domain for f in functions})]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="ckpt-testdata",
                                 functions=list(functions))


def names(scope):
    return [scope + suffix for suffix in VECTORS]


def constants(tensors):
    return [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in tensors]


def function(name, inputs, outputs, nodes, attributes=()):
    return helper.make_function("local", name, inputs, outputs, nodes, OURS, list(attributes))


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], **attributes)


def referring(made, **attributes):
    """The node with attributes that the call of its function gives."""
    for name, (given, kind) in attributes.items():
        made.attribute.append(onnx.AttributeProto(name=name, ref_attr_name=given, type=kind))
    return made


def function_with_weights(w):
    """All tensors are the function's own; strides and epsilon come from the call or do not come; two calls."""
    own = [w.tensor("kernel", 4, 4, 3, 3)] + w.vectors("bn", 4)
    floats, ints = onnx.AttributeProto.FLOAT, onnx.AttributeProto.INTS
    block = function("Block", ["x"], ["y", "raw"], constants(own) + [
        referring(node("Conv", ["x", "kernel"], "c", name="conv", pads=[1, 1, 1, 1]), strides=("steps", ints)),
        referring(node("BatchNormalization", ["c"] + names("bn"), "b", name="bn"), epsilon=("eps", floats)),
        node("Relu", ["b"], "y"), node("Identity", ["bn.bias"], "raw")], ["steps", "eps"])
    calls = [helper.make_node("Block", ["x"], ["h", "raw"], name="first", domain="local", steps=[2, 2], eps=0.25),
             helper.make_node("Block", ["h"], ["y", "raw2"], name="second", domain="local")]
    return w.model(calls, [("x", (1, 4, 8, 8))], [("y", 4), ("raw", 1)], functions=[block])


def function_given_weights(w):
    """The calls give the weights; a function calls another; names within are those outside."""
    block = function("Block", ["x", "kernel"] + names("bn"), ["y"], [
        node("Conv", ["x", "kernel"], "h", name="conv"),
        node("BatchNormalization", ["h"] + names("bn"), "n", name="bn", epsilon=1e-3), node("Relu", ["n"], "y")])
    stage = function("Stage", ["x", "kernel"] + names("bn") + ["kernel2"] + names("bn2"), ["y"], [
        helper.make_node("Block", ["x", "kernel"] + names("bn"), ["h"], name="block", domain="local"),
        helper.make_node("Block", ["h", "kernel2"] + names("bn2"), ["y"], domain="local")])
    tensors = [w.tensor("conv1.weight", 6, 4, 3, 3), *w.vectors("bn1", 6), w.tensor("conv2.weight", 5, 6, 3, 3),
               *w.vectors("bn2", 5), w.tensor("conv3.weight", 5, 5, 1, 1), *w.vectors("bn3", 5)]
    given = [["conv%d.weight" % i] + names("bn%d" % i) for i in (1, 2, 3)]
    nodes = [helper.make_node("Stage", ["x"] + given[0] + given[1], ["h"], name="stage", domain="local"),
             helper.make_node("Block", ["h"] + given[2], ["y"], name="block", domain="local")]
    return w.model(nodes, [("x", (1, 4, 8, 8))], [("y", 4)], tensors, [block, stage])


def function_across_its_border(w):
    """A convolution in front of the call, a batch norm within; and the other way round."""
    norm = function("Norm", ["x"] + names("bn"), ["y"], [node("BatchNormalization", ["x"] + names("bn"), "y", name="bn")])
    conv = function("Convolve", ["x", "kernel"], ["y"], [node("Conv", ["x", "kernel"], "y", name="conv")])
    tensors = [w.tensor("conv1.weight", 5, 4, 3, 3), *w.vectors("bn1", 5), w.tensor("conv2.weight", 4, 5, 3, 3),
               *w.vectors("bn2", 4)]
    nodes = [node("Conv", ["x", "conv1.weight"], "c1"),
             helper.make_node("Norm", ["c1"] + names("bn1"), ["n1"], name="norm", domain="local"), node("Relu", ["n1"], "r"),
             helper.make_node("Convolve", ["r", "conv2.weight"], ["c2"], name="convolve", domain="local"),
             helper.make_node("Norm", ["c2"] + names("bn2"), ["y"], name="norm2", domain="local")]
    return w.model(nodes, [("x", (1, 4, 8, 8))], [("y", 4)], tensors, [norm, conv])


def condition(x):
    """Is the mean of the input positive?"""
    return [node("ReduceMean", [x], "mean", keepdims=0), node("Sub", ["mean", "mean"], "zero"),
            node("Greater", ["mean", "zero"], "positive")]


def branches(w):
    """Weights of the main graph, one of them shared with a node of it, in one branch; the other has its own."""
    shared = [w.tensor("conv.weight", 4, 4, 3, 3), *w.vectors("bn", 4)]
    one = helper.make_graph(
        [node("Conv", ["x", "conv.weight"], "c1", name="conv", pads=[1, 1, 1, 1]),
         node("BatchNormalization", ["c1"] + names("bn"), "y1", name="bn")], "one", [], [w.info("y1", [None] * 4)])
    other_nodes = constants([w.tensor("kernel", 4, 4, 3, 3)]) + [
        node("Conv", ["x", "kernel"], "c2", name="conv", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c2"] + names("norm"), "n2", name="bn"), node("Relu", ["n2"], "y2")]
    other = helper.make_graph(other_nodes, "other", [], [w.info("y2", [None] * 4)], w.vectors("norm", 4))
    nodes = condition("x") + [node("If", ["positive"], "h", name="choose", then_branch=one, else_branch=other),
                              node("Conv", ["h", "conv.weight"], "y", name="last")]
    return w.model(nodes, [("x", (1, 4, 6, 6))], [("y", 4)], shared)


def branch_of_outer_convolution(w):
    """A batch norm in a branch behind a convolution that is not, which has to stay."""
    tensors = [w.tensor("conv.weight", 4, 4, 3, 3), *w.vectors("bn", 4)]
    one = helper.make_graph([node("BatchNormalization", ["c"] + names("bn"), "y1", name="bn")], "one", [],
                            [w.info("y1", [None] * 4)])
    other = helper.make_graph([node("Relu", ["c"], "y2")], "other", [], [w.info("y2", [None] * 4)])
    nodes = condition("x") + [node("Conv", ["x", "conv.weight"], "c", name="conv"),
                              node("If", ["positive"], "y", name="choose", then_branch=one, else_branch=other)]
    return w.model(nodes, [("x", (1, 4, 6, 6))], [("y", 4)], tensors)


def function_in_branches(w):
    """Both branches call a function with tensors of its own; one of them holds another If."""
    own = [w.tensor("kernel", 4, 4, 1, 1)] + w.vectors("bn", 4)
    block = function("Block", ["x"], ["y"], constants(own) + [
        node("Conv", ["x", "kernel"], "c", name="conv"), node("BatchNormalization", ["c"] + names("bn"), "y", name="bn")])
    inner = [helper.make_graph([helper.make_node("Block", ["x"], ["inner"], name="block", domain="local")], "in", [],
                               [w.info("inner", [None] * 4)]),
             helper.make_graph([node("Neg", ["x"], "inner_else")], "in_else", [], [w.info("inner_else", [None] * 4)])]
    one = helper.make_graph([node("If", ["positive"], "nested", name="again", then_branch=inner[0], else_branch=inner[1]),
                             node("Relu", ["nested"], "y1")], "one", [], [w.info("y1", [None] * 4)])
    other = helper.make_graph([helper.make_node("Block", ["x"], ["c"], name="block", domain="local"),
                               node("Neg", ["c"], "y2")], "other", [], [w.info("y2", [None] * 4)])
    nodes = condition("x") + [node("If", ["positive"], "y", name="choose", then_branch=one, else_branch=other)]
    return w.model(nodes, [("x", (1, 4, 5, 5))], [("y", 4)], functions=[block])


def loop(w):
    """Three rounds of a convolution and a batch norm, the weights captured."""
    tensors = [w.tensor("conv.weight", 4, 4, 3, 3), *w.vectors("bn", 4),
               numpy_helper.from_array(np.array(3, np.int64), "rounds"), numpy_helper.from_array(np.array(True), "go")]
    body = helper.make_graph(
        [node("Conv", ["state", "conv.weight"], "c", name="conv", pads=[1, 1, 1, 1]),
         node("BatchNormalization", ["c"] + names("bn"), "n", name="bn"), node("Tanh", ["n"], "next"),
         node("Identity", ["go_in"], "go_out")], "body",
        [helper.make_tensor_value_info("round", TensorProto.INT64, []),
         helper.make_tensor_value_info("go_in", TensorProto.BOOL, []), w.info("state", [None] * 4)],
        [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []), w.info("next", [None] * 4)])
    nodes = [node("Loop", ["rounds", "go", "x"], "y", name="repeat", body=body)]
    return w.model(nodes, [("x", (1, 4, 6, 6))], [("y", 4)], tensors)


MODELS = [function_with_weights, function_given_weights, function_across_its_border, branches, branch_of_outer_convolution,
          function_in_branches, loop]


def main():
    folder = paths.folder("onnx_scopes")
    for seed, make in enumerate(MODELS, 300):
        model = make(Weights(seed, np.float32))
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / (make.__name__ + ".onnx"))
        # The evaluator cannot call a function that lacks an attribute; the package's inliner can.
        exact = ReferenceEvaluator(onnx.inliner.inline_local_functions(make(Weights(seed, np.float64))))
        shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
        data = np.random.RandomState(seed).uniform(-1, 1, [2] + shape).astype(np.float32)
        # The mean of the first is positive and of the second negative: each branch is taken once.
        data[0] += 0.25
        data[1] -= 0.25
        results = [exact.run(None, {"x": one.astype(np.float64)}) for one in data]
        arrays = {"in_x": data}
        for i, info in enumerate(model.graph.output):
            arrays["out_" + info.name] = np.stack([result[i] for result in results])
            assert arrays["out_" + info.name].dtype == np.float64
        np.savez_compressed(folder / (make.__name__ + ".npz"), **arrays)


if __name__ == "__main__":
    main()
