"""Draws labelled pictures of fruit-like solids, for trying everything without a data set.

A class is a form (apple, pear, banana, …) with a finish (a colour and a skin); a picture is one
pose of it, under one light, before one backdrop.
"""

from featuremill.images.synth.config import SynthConfig
from featuremill.images.synth.drawing import draw
from featuremill.images.synth.files import SynthResult, encode, write
from featuremill.images.synth.vocabulary import class_names

__all__ = ["SynthConfig", "SynthResult", "class_names", "draw", "encode", "write"]
