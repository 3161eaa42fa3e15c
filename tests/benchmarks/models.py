"""Networks that benchmarks share."""

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels, wider, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, wider, 3, stride, 1, bias=False), nn.BatchNorm2d(wider)
        self.conv2, self.bn2 = nn.Conv2d(wider, wider, 3, 1, 1, bias=False), nn.BatchNorm2d(wider)
        self.relu = nn.ReLU()
        same = channels == wider and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, wider, 1, stride, bias=False)

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.shortcut(x))


class ResNet20(nn.Sequential):
    """The residual network with 20 layers for 32 x 32 pictures, K. He et al., arXiv:1512.03385, with random weights."""

    def __init__(self, classes=10, seed=0):
        torch.manual_seed(seed)
        layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
        for stage, wider in enumerate((16, 32, 64)):
            for number in range(3):
                layers.append(Block(channels, wider, 2 if stage and not number else 1))
                channels = wider
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
        self.eval()
