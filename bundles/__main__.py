"""Write both networks as MONAI Bundles: `make bundle`."""

import argparse
import json
import shutil
from pathlib import Path

import torch

from bundles.configurations import METADATA_SCHEMA, NAMES, make_inference, make_metadata
from groundglass.locations import MODEL_FOLDER, ROOT, SETTINGS_FILE
from groundglass.method.weights import load_classifier, load_lung_network
from groundglass.settings import load_settings

BUILD = ROOT / "bundles" / "build"
_README = """# {name}

{description}

    pip install groundglass monai fire pytorch-ignite     # groundglass from its checkout: pip install .
    python -m monai.bundle run --config_file configs/inference.json --image ct.nii.gz --output_dir results
    python -m monai.bundle verify_metadata --meta_file configs/metadata.json \\
        --filepath docs/metadata.schema.json

The image is a chest CT in Hounsfield units. `verify_metadata` compares with the schema in docs/, a transcription of
MONAI's specification; with another `--filepath` it fetches MONAI's own from the Internet. `models/model.pt` holds
tensors alone, and loads with `weights_only=True`. Figures, data and known failures: docs/model_card.md. Research use
only; not for clinical decisions.
"""


def write_bundle(network: str, folder: Path) -> Path:
    """Write one bundle anew.

    Args:
        network: `lungs` or `classifier`.
        folder: of all bundles; made where it is not there.

    Returns:
        The bundle's own folder.
    """
    bundle = folder / NAMES[network]
    shutil.rmtree(bundle, ignore_errors=True)
    for name in ("configs", "models", "docs", "scripts"):
        (bundle / name).mkdir(parents=True)
    settings, lungs_file = load_settings(), MODEL_FOLDER / "lungs" / "lungs.safetensors"
    weights: torch.nn.Module
    if network == "lungs":
        weights = load_lung_network(lungs_file, settings.lungs_weights.sha256)
    else:
        file = MODEL_FOLDER / settings.classifier_weights.file
        weights = load_classifier(file, settings.classifier_weights.sha256)
        shutil.copyfile(lungs_file, bundle / "models" / "lungs.safetensors")
    torch.save(
        {name: tensor.contiguous() for name, tensor in weights.state_dict().items()}, bundle / "models" / "model.pt"
    )
    metadata = make_metadata(network)
    for name, content in (
        ("configs/metadata.json", metadata),
        ("configs/inference.json", make_inference(network)),
        ("docs/metadata.schema.json", METADATA_SCHEMA),
    ):
        (bundle / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    text = _README.format(name=metadata["name"], description=metadata["description"])
    (bundle / "docs" / "README.md").write_text(text, encoding="utf-8")
    (bundle / "scripts" / "__init__.py").write_text("", encoding="utf-8")
    for source, name in (
        (SETTINGS_FILE, "configs/app.yaml"),
        (ROOT / "bundles" / "inference.py", "scripts/inference.py"),
        (ROOT / "model_cards" / f"{network}.md", "docs/model_card.md"),
        (ROOT / "LICENSE", "LICENSE"),
    ):
        shutil.copyfile(source, bundle / name)
    return bundle


def main(arguments: list[str] | None = None) -> int:
    """Write both; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bundle", description=__doc__)
    parser.add_argument("--out", type=Path, default=BUILD, help="folder for the bundles (default bundles/build)")
    options = parser.parse_args(arguments)
    for network in NAMES:
        print(write_bundle(network, options.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
