"""The configurations of the two bundles: metadata.json, inference.json, and the schema that the first is held against.

Form: MONAI Bundle Specification (docs.monai.io, mb_specification).
"""

import platform
from importlib import metadata
from typing import Any

from groundglass.domain.class_names import CLASSES, LONG_CLASS_NAMES
from groundglass.domain.software import INTENDED_USE, VERSION

Configuration = dict[str, Any]

SCHEMA_URL = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
"""MONAI's own schema, which `verify_metadata` fetches where there is a network."""
NAMES = {"lungs": "groundglass_lungs", "classifier": "groundglass_classifier"}
"""Of the bundles, by network."""

_IMAGE = {
    "type": "image",
    "format": "hounsfield",
    "modality": "CT",
    "num_channels": 1,
    "spatial_shape": ["*", "*", "*"],
    "dtype": "float32",
    "value_range": [-1024, 3071],
    "is_patch_data": False,
    "channel_def": {"0": "image"},
}
_OUTPUTS: dict[str, Configuration] = {
    "lungs": {
        "type": "image",
        "format": "segmentation",
        "num_channels": 1,
        "spatial_shape": ["*", "*", "*"],
        "dtype": "uint8",
        "value_range": [0, 2],
        "is_patch_data": False,
        "channel_def": {"0": "background", "1": "right lung", "2": "left lung"},
    },
    "classifier": {
        "type": "probabilities",
        "format": "classes",
        "num_channels": len(CLASSES),
        "spatial_shape": ["*"],
        "dtype": "float64",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": {str(number): LONG_CLASS_NAMES[name] for number, name in enumerate(CLASSES)},
    },
}
_TASKS = {
    "lungs": ("Lung segmentation in chest CT", "Right and left lung, by a multi-view U-Net (Hu et al. 2020, II-C)."),
    "classifier": (
        "Classification of chest CT: no pneumonia, community-acquired pneumonia, COVID-19",
        "Probabilities of the study and of each slice, by a multi-scale network (Hu et al. 2020, II-D). It does not "
        "tell the two pneumonias apart reliably: see the model card.",
    ),
}


def make_metadata(network: str) -> Configuration:
    """metadata.json of one of NAMES."""
    task, description = _TASKS[network]
    return {
        "schema": SCHEMA_URL,
        "version": VERSION,
        "changelog": {VERSION: "as in this version of Groundglass"},
        "monai_version": metadata.version("monai"),
        "pytorch_version": metadata.version("torch").partition("+")[0],
        "numpy_version": metadata.version("numpy"),
        "python_version": platform.python_version(),
        "required_packages_version": {name: metadata.version(name) for name in ("nibabel", "fire", "pytorch-ignite")}
        | {"groundglass": VERSION},
        "name": NAMES[network],
        "task": task,
        "description": description,
        "authors": "The Groundglass contributors",
        "copyright": "Code: Apache-2.0. Weights: research only, see docs/model_card.md",
        "intended_use": INTENDED_USE,
        "references": ["Hu et al., IEEE Access 2020, doi:10.1109/ACCESS.2020.3005510"],
        "network_data_format": {"inputs": {"image": _IMAGE}, "outputs": {"pred": _OUTPUTS[network]}},
    }


def make_inference(network: str) -> Configuration:
    """inference.json of one of NAMES."""
    settings = "$@bundle_root + '/configs/app.yaml'"
    inferer: Configuration
    if network == "lungs":
        definition = {"_target_": "groundglass.method.lung_network.LungUNet"}
        inferer = {"_target_": "scripts.inference.LungInferer", "settings": settings}
        last = {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_postfix": "",
            "output_dtype": "$torch.uint8",
            "resample": False,
            "separate_folder": False,
            "output_name_formatter": "$lambda meta, transform: {'subject': 'lungs', 'idx': None}",
        }
    else:
        definition = {"_target_": "groundglass.method.classifier_network.MultiScaleClassifier"}
        lungs = "$@bundle_root + '/models/lungs.safetensors'"
        inferer = {"_target_": "scripts.inference.ClassInferer", "settings": settings, "lungs": lungs}
        last = {
            "_target_": "scripts.inference.SaveClassesd",
            "keys": "pred",
            "output_dir": "@output_dir",
            "settings": settings,
        }
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": ".",
        "image": "ct.nii.gz",
        "output_dir": "results",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": definition,
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "image_only": True},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': @image}]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": inferer,
        "postprocessing": {"_target_": "Compose", "transforms": [last]},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "decollate": True,
        },
        "run": ["$@evaluator.run()"],
    }


_TENSOR = {
    "type": "object",
    "required": [
        "type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data", "channel_def",
    ],
    "properties": {
        "type": {"type": "string"},
        "format": {"type": "string"},
        "modality": {"type": "string"},
        "num_channels": {"type": "integer", "minimum": 1},
        "spatial_shape": {"type": "array", "items": {"type": ["integer", "string"]}},
        "dtype": {"type": "string"},
        "value_range": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object", "patternProperties": {"^[0-9]+$": {"type": "string"}}},
    },
}  # fmt: skip
_TEXTS = (
    "schema", "version", "monai_version", "pytorch_version", "numpy_version", "name", "task", "description", "authors",
    "copyright",
)  # fmt: skip

METADATA_SCHEMA: Configuration = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "metadata.json of a MONAI Bundle, after the MONAI Bundle Specification",
    "type": "object",
    "required": [*_TEXTS, "changelog", "required_packages_version", "network_data_format"],
    "properties": {name: {"type": "string", "minLength": 1} for name in _TEXTS}
    | {
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
        "changelog": {"type": "object", "additionalProperties": {"type": "string"}},
        "required_packages_version": {"type": "object", "additionalProperties": {"type": "string"}},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {
                side: {"type": "object", "minProperties": 1, "additionalProperties": _TENSOR}
                for side in ("inputs", "outputs")
            },
        },
    },
}
"""Our transcription of the specification, for machines that can't fetch MONAI's own schema."""
