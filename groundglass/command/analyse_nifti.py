"""Analyse one NIfTI file, for research: `groundglass analyse ct.nii.gz results/`."""

import logging
from pathlib import Path

from groundglass.domain.errors import OutputFailed, Refusal, UsageError
from groundglass.exit_codes import ExitCode
from groundglass.progress import ProgressReporter

LOG = logging.getLogger("groundglass")


def analyse_nifti(file: Path, output_folder: Path, model_folder: Path, settings_file: Path) -> ExitCode:
    """Analyse the CT volume of a NIfTI file and write label maps, pictures and findings.json.

    A problem with the call, a refusal or a full disk becomes a sentence of the log and its exit code.

    Args:
        file: .nii or .nii.gz.
        output_folder: made where it is not there; files of the same names in it are replaced.
        model_folder: with the weights.
        settings_file: app.yaml or another.
    """
    from groundglass.nifti import read_nifti
    from groundglass.pipeline import Pipeline

    progress = ProgressReporter()
    try:
        source = read_nifti(file)
        found = Pipeline.load(settings_file, model_folder).analyse(source, progress)
        progress.close()
        names = found.save(output_folder)
    except UsageError as error:
        LOG.error("%s", error)
        return ExitCode.USAGE
    except Refusal as refusal:
        LOG.error("Refused (%s). %s", refusal.code, refusal.reason)
        return ExitCode.ALL_FAILED
    except OutputFailed as failure:
        LOG.error("%s", failure.reason)
        return ExitCode.USAGE
    finally:
        progress.close()
    LOG.info("analysed, %d files", len(names))
    return ExitCode.SUCCESS
