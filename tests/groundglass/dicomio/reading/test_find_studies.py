"""The studies of an archive are told apart, and each tells whether its images have changed."""

from io import BytesIO
from pathlib import Path

from pydicom import dcmread

from groundglass.dicomio.reading.scan import find_studies, scan_folder
from tests.groundglass.dicomio.ct_samples import SERIES, STUDY, Sample, cut_in_half, make_series, write_series
from tests.groundglass.dicomio.scans import FEW


def test_each_study_of_an_archive_is_scanned_as_if_it_were_alone(tmp_path: Path) -> None:
    """Studies that share folders, one with a cut file and a copy, and files of no study."""
    archive, alone = tmp_path / "archive", tmp_path / "alone"
    other = make_series(Sample(slices=4, study=f"{STUDY}.5", series=f"{SERIES}.5"))
    paths = write_series(archive / "b", make_series(FEW))
    cut_in_half(paths[1])
    (archive / "b" / "copy.dcm").write_bytes(paths[2].read_bytes())
    for path in (archive / "b").iterdir():
        alone.mkdir(exist_ok=True)
        (alone / path.name).write_bytes(path.read_bytes())
    write_series(archive / "a", other)
    for path in (archive / "a").iterdir():
        path.rename(archive / "b" / f"other-{path.name}")
    (archive / "notes.txt").write_text("not an image")

    found = find_studies(archive)
    assert found.studies.keys() == {STUDY, f"{STUDY}.5"}
    assert [item.file for item in found.ignored] == ["notes.txt"]
    (series,), (expected,) = scan_folder(archive, names=found.studies[STUDY]).series, scan_folder(alone).series
    assert [header.SOPInstanceUID for header in series.instances] == [
        header.SOPInstanceUID for header in expected.instances
    ]
    assert (series.damaged, len(series.instances)) == (expected.damaged, len(expected.instances)) == (1, 3)


def test_the_digest_of_a_study_tells_whether_its_images_are_others(tmp_path: Path) -> None:
    def digest() -> str:
        return find_studies(tmp_path / "archive").digests[STUDY]

    paths = write_series(tmp_path / "archive", make_series(FEW))
    first = digest()
    (tmp_path / "archive" / "moved").mkdir()
    paths[0] = paths[0].rename(tmp_path / "archive" / "moved" / "renamed.dcm")
    (tmp_path / "archive" / "copy.dcm").write_bytes(paths[1].read_bytes())
    write_series(tmp_path / "archive" / "b", make_series(Sample(slices=4, study=f"{STUDY}.5", series=f"{SERIES}.5")))
    report = dcmread(paths[1])
    report.Modality, report.SOPInstanceUID = "SR", f"{SERIES}.99"
    report.save_as(tmp_path / "archive" / "report.dcm")
    assert digest() == first

    held = paths[0].read_bytes()
    cut_in_half(paths[0])
    cut = digest()
    paths[0].unlink()
    gone = digest()
    mended = dcmread(BytesIO(held))
    mended.PixelSpacing = [0.5, 0.5]
    mended.save_as(paths[0])
    other = digest()
    paths[0].write_bytes(held)
    assert len({first, cut, gone, other}) == 4
    assert digest() == first
