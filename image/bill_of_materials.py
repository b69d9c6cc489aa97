"""Inside the build: the bill of materials, as CycloneDX 1.5 for programs and as a table of licences for people.

The library that writes CycloneDX is a tool of the build (tools.txt), and no part of the image.
"""

import datetime
import uuid

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component as Item
from cyclonedx.model.component import ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot5
from packageurl import PackageURL

from image.components import GPL_FAMILY, Component, exception_for


def to_cyclonedx(components: list[Component], version: str, epoch: int) -> str:
    """The bill as JSON. The same components, in whatever order, give the same text, to its serial number.

    Args:
        components: what is in the image.
        version: of the application.
        epoch: the time of the bill, in seconds since 1970.
    """
    licence = DisjunctiveLicense(id="Apache-2.0")
    application = Item(
        type=ComponentType.APPLICATION, bom_ref="groundglass", name="groundglass", version=version, licenses=[licence]
    )
    items = [(_to_item(each), each.linked) for each in components]
    bill = Bom(
        serial_number=uuid.UUID(int=0),
        metadata=BomMetaData(component=application, timestamp=datetime.datetime.fromtimestamp(epoch, datetime.UTC)),
        components=[item for item, _ in items],
    )
    bill.register_dependency(application, [item for item, is_linked in items if is_linked])
    bill.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, _to_json(bill))
    return _to_json(bill)


def _to_item(component: Component) -> Item:
    purl = PackageURL.from_string(component.purl) if component.purl else None
    return Item(
        type=ComponentType(component.kind),
        bom_ref=purl.to_string() if purl else component.name,
        name=component.name,
        version=component.version or None,
        licenses=[DisjunctiveLicense(name=component.licence)],
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=component.sha256)] if component.sha256 else [],
        properties=[Property(name="groundglass:linked", value=str(component.linked).lower())],
    )


def _to_json(bill: Bom) -> str:
    return JsonV1Dot5(bill).output_as_string(indent=1) + "\n"


def to_table(components: list[Component]) -> str:
    """The licences as a page to read."""
    lines = ["# Licences of what is in the image", "", "Linked: the application's process has it in itself.", ""]
    lines += ["| component | version | licence | linked | note |", "| --- | --- | --- | --- | --- |"]
    for each in components:
        exception = exception_for(each.name) if each.linked and GPL_FAMILY.search(each.licence) else None
        note = f"{exception[0]}: {exception[1]}" if exception else ""
        linked = "yes" if each.linked else ""
        lines.append(f"| {each.name} | {each.version} | {each.licence.replace('|', '/')} | {linked} | {note} |")
    return "\n".join(lines) + "\n"
