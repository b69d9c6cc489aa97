"""Where the settings and the weights lie: in a checkout beside the library, in an installed library inside it."""

from pathlib import Path

_LIBRARY = Path(__file__).resolve().parent
ROOT = _LIBRARY if (_LIBRARY / "app.yaml").is_file() else _LIBRARY.parent
"""The folder of `app.yaml` and `models`; of a checkout, its top."""

SETTINGS_FILE = ROOT / "app.yaml"
MODEL_FOLDER = ROOT / "models"
