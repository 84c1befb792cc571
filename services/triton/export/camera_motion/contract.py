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
