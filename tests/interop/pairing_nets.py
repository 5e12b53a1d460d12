"""Nets whose names, order and shapes tempt a pairing of batch norms by names: some of the pairs are wrong.

Left out is what no name, order, shape or value can show: a batch norm that is defined behind a kernel, with its
number and as wide, and called before it; numbers that mean the opposite in a file without an order.

Each is built without arguments and takes an input of 2 x 3 x 16 x 16.
"""

import torch
from torch import nn
from torch.nn import functional as F

NETS = {}


def net(build):
    NETS[build.__name__] = build
    return build


def conv(i, o, k=3, **options):
    return nn.Conv2d(i, o, k, padding=k // 2, bias=False, **options)


class Net(nn.Module):
    """A module of named layers, and how they are called."""

    def __init__(self, layers, forward):
        super().__init__()
        for name, layer in layers:
            self.add_module(name, layer)
        self.call = forward

    def forward(self, x):
        return self.call(self, x)


def relu(x):
    return torch.relu(x)


def leaky(x):
    return F.leaky_relu(x, 0.2)


# --- What is as it seems.


def plain_calls(m, x):
    x = relu(m.bn1(m.conv1(x)))
    x = relu(m.bn2(m.conv2(x)))
    return m.conv3(x)


@net
def in_order():
    return Net([("conv1", conv(3, 16)), ("bn1", nn.BatchNorm2d(16)), ("conv2", conv(16, 16)),
                ("bn2", nn.BatchNorm2d(16)), ("conv3", conv(16, 16))], plain_calls)  # fmt: skip


@net
def equal_widths_everywhere():
    layers = []
    for i in range(1, 5):
        layers += [(f"conv{i}", conv(16, 16)), (f"bn{i}", nn.BatchNorm2d(16))]

    def forward(m, x):
        x = m.stem(x)
        for i in range(1, 5):
            x = x + relu(getattr(m, f"bn{i}")(getattr(m, f"conv{i}")(x)))
        return x

    return Net([("stem", conv(3, 16)), *layers], forward)


@net
def grouped_by_kind():
    return Net([("conv1", conv(3, 16)), ("conv2", conv(16, 24)), ("conv3", conv(24, 8)),
                ("bn1", nn.BatchNorm2d(16)), ("bn2", nn.BatchNorm2d(24))], plain_calls)  # fmt: skip


@net
def grouped_by_kind_equal_widths():
    return Net([("conv1", conv(3, 16)), ("conv2", conv(16, 16)), ("conv3", conv(16, 16)),
                ("bn1", nn.BatchNorm2d(16)), ("bn2", nn.BatchNorm2d(16))], plain_calls)  # fmt: skip


@net
def grouped_by_kind_without_numbers():
    def forward(m, x):
        x = relu(m.norm_x(m.enter(x)))
        return m.leave(relu(m.norm_y(m.body(x))))

    return Net([("enter", conv(3, 16)), ("body", conv(16, 16)), ("leave", conv(16, 16)),
                ("norm_x", nn.BatchNorm2d(16)), ("norm_y", nn.BatchNorm2d(16))], forward)  # fmt: skip


@net
def sequential():
    return nn.Sequential(conv(3, 16), nn.BatchNorm2d(16), nn.ReLU(), conv(16, 16), nn.BatchNorm2d(16), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 16), nn.BatchNorm1d(16))  # fmt: skip


@net
def sequential_of_blocks():
    def block(i, o):
        return nn.Sequential(conv(i, o), nn.BatchNorm2d(o), nn.ReLU())

    return nn.Sequential(block(3, 16), block(16, 16), block(16, 16))


# --- Reversed and offset definitions.


@net
def reversed_definitions():
    return Net([("bn1", nn.BatchNorm2d(16)), ("conv1", conv(3, 16)), ("bn2", nn.BatchNorm2d(16)),
                ("conv2", conv(16, 16)), ("conv3", conv(16, 16))], plain_calls)  # fmt: skip


@net
def reversed_definitions_in_blocks():
    class Block(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.bn, self.conv = nn.BatchNorm2d(o), conv(i, o)

        def forward(self, x):
            return relu(self.bn(self.conv(x)))

    return nn.Sequential(Block(3, 16), Block(16, 16), Block(16, 16))


@net
def reversed_definitions_without_numbers():
    def forward(m, x):
        return relu(m.norm_b(m.second(relu(m.norm_a(m.first(x))))))

    return Net([("norm_a", nn.BatchNorm2d(16)), ("first", conv(3, 16)), ("norm_b", nn.BatchNorm2d(16)),
                ("second", conv(16, 16))], forward)  # fmt: skip


@net
def offset_numbers():
    def forward(m, x):
        x = relu(m.conv1(x))
        x = relu(m.bn1(m.conv2(x)))
        return relu(m.bn2(m.conv3(x)))

    return Net([("conv1", conv(3, 16)), ("conv2", conv(16, 16)), ("bn1", nn.BatchNorm2d(16)),
                ("conv3", conv(16, 16)), ("bn2", nn.BatchNorm2d(16))], forward)  # fmt: skip


@net
def offset_numbers_grouped():
    def forward(m, x):
        x = relu(m.conv1(x))
        x = relu(m.bn1(m.conv2(x)))
        return relu(m.bn2(m.conv3(x)))

    return Net([("conv1", conv(3, 16)), ("conv2", conv(16, 16)), ("conv3", conv(16, 16)),
                ("bn1", nn.BatchNorm2d(16)), ("bn2", nn.BatchNorm2d(16))], forward)  # fmt: skip


@net
def offset_from_nought():
    def forward(m, x):
        x = relu(m.bn1(m.conv0(x)))
        return relu(m.bn2(m.conv1(x)))

    return Net([("conv0", conv(3, 16)), ("bn1", nn.BatchNorm2d(16)), ("conv1", conv(16, 16)),
                ("bn2", nn.BatchNorm2d(16))], forward)  # fmt: skip


# --- Batch norms that stand before their convolution.


def preact_block(first):
    class Block(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            if first == "bn":
                self.bn1, self.conv1 = nn.BatchNorm2d(i), conv(i, o)
                self.bn2, self.conv2 = nn.BatchNorm2d(o), conv(o, o)
            elif first == "conv":
                self.conv1, self.bn1 = conv(i, o), nn.BatchNorm2d(i)
                self.conv2, self.bn2 = conv(o, o), nn.BatchNorm2d(o)
            else:
                self.conv1, self.conv2 = conv(i, o), conv(o, o)
                self.bn1, self.bn2 = nn.BatchNorm2d(i), nn.BatchNorm2d(o)
            self.shortcut = conv(i, o, 1) if i != o else None

        def forward(self, x):
            y = self.conv1(relu(self.bn1(x)))
            y = self.conv2(relu(self.bn2(y)))
            return y + (x if self.shortcut is None else self.shortcut(x))

    return Block


def preact(first, widths):
    block = preact_block(first)
    blocks = [block(i, o) for i, o in zip(widths, widths[1:])]
    return Net([("conv1", conv(3, widths[0])), ("layers", nn.Sequential(*blocks)),
                ("bn", nn.BatchNorm2d(widths[-1])), ("head", conv(widths[-1], 4, 1))],
               lambda m, x: m.head(relu(m.bn(m.layers(m.conv1(x))))))  # fmt: skip


@net
def preact_norm_defined_first():
    return preact("bn", (16, 16, 24))


@net
def preact_norm_defined_first_equal_widths():
    return preact("bn", (16, 16, 16))


@net
def preact_conv_defined_first():
    return preact("conv", (16, 16, 24, 24))


@net
def preact_grouped_by_kind():
    return preact("kind", (16, 16, 24))


@net
def preact_grouped_by_kind_equal_widths():
    return preact("kind", (16, 16, 16))


@net
def preact_in_a_sequential():
    def block(i, o):
        return nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), conv(i, o))

    return nn.Sequential(conv(3, 16), block(16, 16), block(16, 16))


@net
def preact_in_one_sequential():
    return nn.Sequential(conv(3, 16), nn.ReLU(), nn.BatchNorm2d(16), nn.ReLU(), conv(16, 16), nn.BatchNorm2d(16),
                         nn.ReLU(), conv(16, 16))  # fmt: skip


@net
def preact_with_grouped_kernels():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = conv(16, 16, groups=2), nn.BatchNorm2d(16)

        def forward(self, x):
            return x + self.conv(relu(self.bn(x)))

    # The norm is defined behind its kernel, and nothing else tells; only a file without an order can keep it.
    block = Block()
    block.bn, block.conv = block._modules.pop("bn"), block._modules.pop("conv")
    other = Block()
    other.bn, other.conv = other._modules.pop("bn"), other._modules.pop("conv")
    return nn.Sequential(conv(3, 16), nn.Sequential(block, other))


@net
def norm_of_the_input():
    def forward(m, x):
        x = relu(m.conv1(m.bn0(m.stem(x))))
        return relu(m.bn2(m.conv2(x)))

    return Net([("stem", nn.AvgPool2d(2)), ("bn0", nn.BatchNorm2d(3)), ("conv1", conv(3, 16)), ("conv2", conv(16, 16)),
                ("bn2", nn.BatchNorm2d(16))], forward)  # fmt: skip


@net
def norm_of_the_input_takes_no_number():
    def forward(m, x):
        x = relu(m.conv1(m.bn1(x)))
        x = relu(m.bn2(m.conv2(x)))
        return m.conv3(x)

    return Net([("bn1", nn.BatchNorm2d(3)), ("conv1", conv(3, 3)), ("conv2", conv(3, 3)), ("bn2", nn.BatchNorm2d(3)),
                ("conv3", conv(3, 3))], forward)  # fmt: skip


# --- An activation between.


def activated(name, activation, defined):
    class Block(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.conv = conv(i, o)
            if defined:
                self.act = activation
            self.bn = nn.BatchNorm2d(o)

        def forward(self, x):
            return self.bn(activation(self.conv(x)))

    def build():
        return nn.Sequential(Block(3, 32), Block(32, 32), Block(32, 48), Block(48, 48))

    build.__name__ = name
    return net(build)


activated("relu_before_the_norm", nn.ReLU(), False)
activated("relu_defined_before_the_norm", nn.ReLU(), True)
activated("leaky_relu_before_the_norm", nn.LeakyReLU(0.2), False)
activated("leaky_relu_defined_before_the_norm", nn.LeakyReLU(0.01), True)
activated("relu6_before_the_norm", nn.ReLU6(), False)
activated("silu_defined_before_the_norm", nn.SiLU(), True)
activated("gelu_before_the_norm", nn.GELU(), False)


@net
def relu_before_the_norm_in_a_sequential():
    return nn.Sequential(conv(3, 16), nn.ReLU(), nn.BatchNorm2d(16), conv(16, 16), nn.ReLU(), nn.BatchNorm2d(16))


@net
def relu_before_numbered_norms():
    def forward(m, x):
        x = m.bn1(relu(m.conv1(x)))
        return m.bn2(relu(m.conv2(x)))

    return Net([("conv1", conv(3, 16)), ("bn1", nn.BatchNorm2d(16)), ("conv2", conv(16, 16)),
                ("bn2", nn.BatchNorm2d(16))], forward)  # fmt: skip


@net
def list_called_with_an_activation():
    def forward(m, x):
        for layer, norm in zip(m.layers[::2], m.layers[1::2]):
            x = norm(relu(layer(x)))
        return x

    layers = nn.ModuleList([conv(3, 16), nn.BatchNorm2d(16), conv(16, 16), nn.BatchNorm2d(16)])
    return Net([("layers", layers)], forward)


@net
def lists_of_convolutions_and_norms():
    def forward(m, x):
        for layer, norm in zip(m.convs, m.bns):
            x = relu(norm(layer(x)))
        return x

    return Net([("convs", nn.ModuleList([conv(3, 8), conv(8, 16), conv(16, 16)])),
                ("bns", nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(16), nn.BatchNorm2d(16)]))], forward)  # fmt: skip


@net
def lists_of_norms_and_convolutions():
    def forward(m, x):
        for layer, norm in zip(m.convs, m.bns):
            x = layer(relu(norm(x)))
        return x

    return Net([("convs", nn.ModuleList([conv(3, 3), conv(3, 3), conv(3, 3)])),
                ("bns", nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)]))], forward)  # fmt: skip


# --- Shared layers.


@net
def one_convolution_two_norms():
    def forward(m, x):
        x = m.stem(x)
        return m.bn1(m.conv(x)) + m.bn2(m.conv(relu(x)))

    return Net([("stem", conv(3, 16)), ("conv", conv(16, 16)), ("bn1", nn.BatchNorm2d(16)),
                ("bn2", nn.BatchNorm2d(16))], forward)  # fmt: skip


@net
def two_convolutions_one_norm():
    def forward(m, x):
        return relu(m.bn(m.conv2(relu(m.bn(m.conv1(m.stem(x)))))))

    return Net([("stem", conv(3, 16)), ("conv1", conv(16, 16)), ("bn", nn.BatchNorm2d(16)),
                ("conv2", conv(16, 16))], forward)  # fmt: skip


@net
def shared_kernel():
    first, second = conv(16, 16), conv(16, 16)
    second.weight = first.weight

    def forward(m, x):
        x = m.stem(x)
        return m.a(x) + m.b(x)

    return Net([("stem", conv(3, 16)), ("a", nn.Sequential(first, nn.BatchNorm2d(16))),
                ("b", nn.Sequential(second, nn.BatchNorm2d(16)))], forward)  # fmt: skip


@net
def separable():
    def forward(m, x):
        return relu(m.bn(m.pointwise(m.depthwise(m.stem(x)))))

    return Net([("stem", conv(3, 16)), ("depthwise", conv(16, 16, groups=16)), ("pointwise", conv(16, 16, 1)),
                ("bn", nn.BatchNorm2d(16))], forward)  # fmt: skip


@net
def norm_between_two_convolutions():
    def forward(m, x):
        return relu(m.second(relu(m.norm(m.first(x)))))

    return Net([("first", conv(3, 16)), ("second", conv(16, 16)), ("norm", nn.BatchNorm2d(16))], forward)


class Branches(nn.Module):
    """RepViT's: one batch norm behind the sum of two convolutions, of which one has a batch norm of its own."""

    def __init__(self, first, second, biased):
        super().__init__()
        self.add_module(first, nn.Sequential(conv(16, 16, groups=16), nn.BatchNorm2d(16)))
        self.add_module(second, nn.Conv2d(16, 16, 1, groups=16, bias=biased))
        self.bn = nn.BatchNorm2d(16)

    def forward(self, x):
        first, second = list(self.children())[:2]
        return relu(self.bn(first(x) + second(x) + x))


def branches(name, *options):
    def build():
        return nn.Sequential(conv(3, 16), nn.BatchNorm2d(16), nn.ReLU(), Branches(*options), Branches(*options))

    build.__name__ = name
    return net(build)


branches("branches_summed_before_the_norm", "conv", "conv1", False)
branches("branches_with_a_bias_summed_before_the_norm", "depthwise", "point", True)


# --- Transposed convolutions.


def transposed(name, options, word="up", kernel=4):
    def build():
        up = nn.ConvTranspose2d(16, 16, kernel, stride=2, padding=1, bias=False, **options)
        return Net([("conv1", conv(3, 16)), ("bn1", nn.BatchNorm2d(16)), (word, up), ("bn2", nn.BatchNorm2d(16))],
                   lambda m, x: relu(m.bn2(getattr(m, word)(relu(m.bn1(m.conv1(x)))))))  # fmt: skip

    build.__name__ = name
    return net(build)


transposed("transposed_square", {})
transposed("transposed_grouped", {"groups": 2})
transposed("transposed_depthwise", {"groups": 16})
transposed("transposed_without_a_telling_name", {}, "body")
transposed("transposed_grouped_without_a_telling_name", {"groups": 2}, "body")
transposed("transposed_odd_called_de_conv", {"output_padding": 1}, "de_conv2", 3)
transposed("transposed_odd_called_upconv", {"output_padding": 1}, "upconv", 3)
transposed("transposed_odd_called_up_conv", {"output_padding": 1}, "up_conv", 3)
transposed("transposed_odd_called_tconv", {"output_padding": 1}, "tconv2", 3)
transposed("transposed_odd_grouped_called_deconv", {"output_padding": 1, "groups": 2}, "deconv", 3)


@net
def generator():
    def block(i, o):
        return [nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(True)]

    return nn.Sequential(conv(3, 32), *block(32, 32), *block(32, 16), *block(16, 16), nn.Conv2d(16, 3, 3))


@net
def discriminator():
    def block(i, o):
        return [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2, True)]

    return nn.Sequential(nn.Conv2d(3, 16, 3), *block(16, 24), *block(24, 32))


# --- Computed kernels.


@net
def spectral_norm():
    return Net([("conv1", conv(3, 16)), ("bn1", nn.BatchNorm2d(16)),
                ("conv2", nn.utils.parametrizations.spectral_norm(conv(16, 16))), ("bn2", nn.BatchNorm2d(16)),
                ("conv3", conv(16, 16))], plain_calls)  # fmt: skip


@net
def spectral_norm_of_its_own():
    class Normalised(nn.Conv2d):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.register_buffer("u", torch.randn(self.out_channels, dtype=torch.float64))

        def forward(self, x):
            flat = self.weight.flatten(1)
            v = F.normalize(flat.t() @ self.u.to(flat.dtype), dim=0)
            return F.conv2d(x, self.weight / torch.dot(F.normalize(flat @ v, dim=0), flat @ v), None, 1, 1)

    return Net([("conv1", conv(3, 16)), ("bn1", nn.BatchNorm2d(16)),
                ("conv2", Normalised(16, 16, 3, padding=1, bias=False)), ("bn2", nn.BatchNorm2d(16)),
                ("conv3", conv(16, 16))], plain_calls)  # fmt: skip
