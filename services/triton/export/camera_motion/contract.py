"""What the network sees and what it may answer: shared by data, network, export and engines. Imports nothing."""

CLIP_LENGTH = 8
TEMPORAL_STRIDE = 5
FRAME_RATE = 25  # of the training's videos: a move is a move at any rate
SIDE = 64

LABELS = (
    "static",
    "pan_left",
    "pan_right",
    "tilt_up",
    "tilt_down",
    "zoom_in",
    "zoom_out",
    "roll_cw",
    "roll_ccw",
)

DESCRIPTIONS = {
    "static": "The camera does not move.",
    "pan_left": "The camera turns to the left.",
    "pan_right": "The camera turns to the right.",
    "tilt_up": "The camera turns upwards.",
    "tilt_down": "The camera turns downwards.",
    "zoom_in": "The picture grows: the lens zooms in or the camera goes forward.",
    "zoom_out": "The picture shrinks: the lens zooms out or the camera goes back.",
    "roll_cw": "The camera rolls clockwise about its line of sight.",
    "roll_ccw": "The camera rolls counterclockwise about its line of sight.",
}
"""What each label means, for those who read an answer."""
