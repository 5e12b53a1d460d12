"""across/torch_net.safetensors and its outputs: a PyTorch network that a Keras one can be built to match."""

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from paths import folder

EPSILON = 1e-4


class Net(nn.Module):
    """Every kind of kernel whose layout differs between PyTorch and Keras; the dense layer reads a flatten."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.conv_bn = nn.BatchNorm2d(4, eps=EPSILON, momentum=0.2)
        self.depthwise = nn.Conv2d(4, 8, 3, groups=4, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(8, eps=EPSILON, momentum=0.2)
        self.up_transpose = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.fc = nn.Linear(8 * 8 * 6, 5)
        self.fc_bn = nn.BatchNorm1d(5, eps=EPSILON, momentum=0.2)
        self.head = nn.Linear(5, 5)

    def forward(self, x):
        x = torch.relu(self.conv_bn(self.conv(x)))
        x = torch.relu(self.depthwise_bn(self.depthwise(x)))
        x = self.up_transpose(x)
        x = torch.relu(self.fc_bn(self.fc(torch.flatten(x, 1))))
        return self.head(x)


def main():
    torch.manual_seed(11)
    torch.set_num_threads(1)
    net = Net()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif name.endswith("num_batches_tracked"):
                value.fill_(40)
            else:
                value.normal_(0, 0.5)
    net.eval()
    x = torch.randn(3, 3, 8, 7)
    path = folder("across") / "torch_net.safetensors"
    save_file(net.state_dict(), path)
    net.load_state_dict(load_file(path), strict=True)
    with torch.no_grad():
        output, exact = net(x), net.double()(x.double())
    assert np.allclose(output, exact, rtol=1e-4, atol=1e-4)
    # Channels last, as the Keras side takes it.
    np.savez(path.with_suffix(".npz"), input=x.permute(0, 2, 3, 1).numpy(), output=output.numpy(),
             output_f64=exact.numpy())


if __name__ == "__main__":
    main()
