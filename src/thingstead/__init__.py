"""thingstead: an IoT backend in one process. One device is seen through every API it speaks."""

__version__ = "0.1.0"
