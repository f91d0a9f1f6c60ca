"""The work of MONAI's published spleen recipe, file to file, with random weights: what the benchmark compares with.

Its network (UNet 16-256, two residual units), 1.5 x 1.5 x 2 mm, windows of 96 voxels, overlap 0.5 and the inverse
transform, in the order in which its bundle applies them. Usage: monai_recipe.py CT.nii.gz MASK.nii.gz
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from monai.data import decollate_batch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    SaveImage,
    ScaleIntensityRanged,
    Spacingd,
)


def main(source: Path, target: Path) -> None:
    torch.manual_seed(0)
    before = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS"),
            Spacingd("image", pixdim=(1.5, 1.5, 2.0), mode="bilinear"),
            ScaleIntensityRanged("image", a_min=-57, a_max=164, b_min=0, b_max=1, clip=True),
        ]
    )
    network = UNet(3, 1, 2, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2, norm="batch").eval()
    after = Compose(
        [
            Activationsd("pred", softmax=True),
            Invertd("pred", transform=before, orig_keys="image", nearest_interp=False, to_tensor=True),
            AsDiscreted("pred", argmax=True),
        ]
    )
    case = before({"image": str(source)})
    with torch.no_grad():
        pred = SlidingWindowInferer((96, 96, 96), sw_batch_size=4, overlap=0.5)(case["image"][None], network)
    case["pred"] = decollate_batch(pred)[0]
    mask = after(case)["pred"]
    SaveImage(
        output_dir=str(target.parent), output_postfix="", separate_folder=False, print_log=False, output_dtype="uint8"
    )(mask, filename=str(target).removesuffix(".nii.gz"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
