"""The two sets of parameters that there are: those that are shipped, and the paper's."""

from dataclasses import replace

from groundglass.method.saliency import IntegratedGradients
from groundglass.settings import Settings, load_settings

SHIPPED: Settings = load_settings()
"""What app.yaml ships; it says of each value where it comes from."""

PAPER: Settings = replace(
    SHIPPED,
    lungs=replace(
        SHIPPED.lungs,
        views=("axial", "coronal", "sagittal"),  # II-C: "each view of the 3D volume"
    ),
    classification=replace(SHIPPED.classification, neighbours_mm=0.0),  # II-D: each slice for itself
    gradients=IntegratedGradients(
        reading="score",  # Eq. 2: S(x), the class score of one scale
        rule="riemann_right",  # Eq. 3: n / m for n = 1, ..., m
        steps=25,  # II-G.2: "we fix m = 25 in Eq. 3"
        gradient_power=0.0,  # Eq. 3: every step counts 1 / m
    ),
    explanation=replace(
        SHIPPED.explanation,
        spacing_mm=0.0,  # II-F: each slice
        joint_factor="attribution",  # Eq. 3: with its factor, the input
        joint_blur_mm=0.0,  # II-F.1: the pixel-wise product of the maps as they are
        joint_part="absolute",  # II-F.2: "the absolute value of the joint saliency map"
    ),
)
"""What Hu et al., IEEE Access 2020, give, each with its section or equation.

Where the paper has no value it has the shipped one: Q and S of the windows (II-C), the area below which a region gets
no box and the closing (II-F.2), and all that makes a study of slices. The values of II-G are in
`training.engine.loop.Plan`.
"""
