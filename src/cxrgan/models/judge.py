"""What both discriminators are: layers that judge what they see of images."""

from torch import Tensor, nn


class Judge(nn.Sequential):
    """Images (N, channels, M, M) in [-1, 1] -> logits (N, classes or 1)."""

    def forward(self, images: Tensor) -> Tensor:
        return self.judge(self.see(images))

    def see(self, images: Tensor) -> Tensor:
        """Images -> what the first layer is given, which is also what a gradient penalty goes by."""
        return images

    def judge(self, seen: Tensor) -> Tensor:
        """What `see` returns -> logits."""
        for layer in self:
            seen = layer(seen)
        return seen
