"""The demo: the same network with and without a shortcut in its training images."""
