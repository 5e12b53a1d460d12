"""Images of the distribution that the founding ResNet program was trained on, for `ckpt calibrate`.

Makes testdata/tf1/calibration/images.npz; its array is called as the program's placeholder.
"""

import tf1_common as common  # first: it sets what TensorFlow reads at its import

import numpy as np

EXAMPLES = 48


def main():
    folder = common.output_folder("tf1", "calibration")
    images, _ = common.Images(seed=1, height=8, width=8, channels=3, classes=4).batch(EXAMPLES)
    np.savez(folder / "images.npz", images=images)
    print("tf1/calibration")


if __name__ == "__main__":
    main()
