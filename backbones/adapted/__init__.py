"""Models of timm and transformers as backbones of four levels."""
