"""Inside the build: write what is known of the image into it.

Manifests, bill of materials and licences, the hash of every file, and the version in one line. All of it is made of the
commit and of what is installed, with the commit's time for the time: two builds of one commit write the same.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from groundglass.domain.software import VERSION
from image.components import Component, LicenceRefused, all_components, refuse_gpl_family
from image.manifests import WORK_FOLDER, write_manifests

ROOT = Path("/opt/holoscan")
TOOLS = Path("/opt/tools")
"""Python packages that the build needs and the image doesn't; tools.lock lists them."""
SBOM, LICENCES = "sbom.cdx.json", "licences.md"
OUTSIDE = ("/etc/holoscan/app.json", "/etc/holoscan/pkg.json", "/etc/monai/app.json", "/etc/monai/pkg.json")
"""Files of the package that lie elsewhere; the record holds their hashes too."""


def write_bill_of_materials(components: list[Component], folder: Path) -> None:
    """Write the bill and the licences. The tools come on the path here: the components are known, and they are none."""
    sys.path.append(str(TOOLS))
    from image.bill_of_materials import to_cyclonedx, to_table

    folder.mkdir(parents=True, exist_ok=True)
    bill = to_cyclonedx(components, VERSION, int(os.environ["SOURCE_DATE_EPOCH"]))
    (folder / SBOM).write_text(bill, encoding="utf-8")
    (folder / LICENCES).write_text(to_table(components), encoding="utf-8")


def main() -> int:
    """Write it all, and gather under /described what the image's last layer takes over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--commit", required=True)
    options = parser.parse_args()
    settings_file = ROOT / "app" / "app.yaml"
    settings = yaml.safe_load(settings_file.read_text(encoding="utf-8"))

    write_manifests(settings, VERSION, options.variant)
    (ROOT / "version.txt").write_text(f"Groundglass {VERSION}, commit {options.commit}, {options.variant}\n")
    components = all_components()
    try:
        refuse_gpl_family(components)
    except LicenceRefused as error:
        print(error, file=sys.stderr)
        return 1
    write_bill_of_materials(components, ROOT / "docs")
    record = [
        sys.executable,
        "-m",
        "groundglass.selftest.build_record",
        "--root",
        str(ROOT),
        "--commit",
        options.commit,
    ]
    record += ["app", "models", "docs", "entrypoint", "version.txt", *OUTSIDE]
    subprocess.run(record, cwd=ROOT / "app", check=True)

    described = Path("/described")
    for folder in ("/etc/holoscan", "/etc/monai", "/opt/holoscan/docs"):
        shutil.copytree(folder, described / folder.lstrip("/"))
    for name in ("build-record.json", "version.txt"):
        shutil.copy2(ROOT / name, described / "opt/holoscan" / name)
    work = described / WORK_FOLDER.lstrip("/")
    for name in ("input", "output", "logs"):
        (work / name).mkdir(parents=True)
        (work / name).chmod(0o1777)  # whichever user runs it
    shutil.copy2(settings_file, work / "app.yaml")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
