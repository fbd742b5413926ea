"""cxrgan: train GANs on chest X-rays and make images with them. For research only, no clinical use."""

__version__ = "0.1.0"
