"""The standard's tables, read a module at a time."""

import json
import subprocess
import sys

from groundglass.dicomio.writing.iod_answers import ATTRIBUTES, AttributesOfModules
from groundglass.locations import ROOT


def test_modules_that_are_read_one_by_one_have_the_attributes_of_highdicoms_table() -> None:
    assert dict(AttributesOfModules()) == json.loads(ATTRIBUTES.read_bytes())


def test_highdicom_reads_no_module_that_nobody_asks_for() -> None:
    program = (
        "from highdicom import _standard_utils, base, image\n"
        "from groundglass.dicomio.writing import identity\n"
        "of_modules = _standard_utils.get_module_attribute_map()\n"
        "print(of_modules is base.get_module_attribute_map() is image.get_module_attribute_map())\n"
        "print(_standard_utils.is_attribute_in_iod('PixelData', '1.2.840.10008.5.1.4.1.1.2'))\n"
        "print('voi-lut' in of_modules, 'patient' in of_modules._known, 'inventory' in of_modules._known)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True", "True", "False"]
