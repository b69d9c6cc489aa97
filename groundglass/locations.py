"""Where the settings and the weights lie: in a checkout beside the library, in an installed library inside it."""

from pathlib import Path

LIBRARY = Path(__file__).resolve().parent
ROOT = LIBRARY if (LIBRARY / "app.yaml").is_file() else LIBRARY.parent
"""The folder of `app.yaml` and `models`; of a checkout, its top."""

SETTINGS_FILE = ROOT / "app.yaml"
MODEL_FOLDER = ROOT / "models"
