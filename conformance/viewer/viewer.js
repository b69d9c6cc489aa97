// Shows a study as a viewer built on cornerstone3D does, and tells the server what is on the screen then.
//
// Segmentation and report are read by cornerstone3D's own adapters. Of every view the server gets what the canvas shows
// at the centres of the voxels, so that it can compare that with the files.

import {
  Enums, imageLoader, init as initCore, metaData, RenderingEngine, setVolumesForViewports, volumeLoader,
} from '@cornerstonejs/core';
import { adaptersSEG, adaptersSR } from '@cornerstonejs/adapters';
import { init as initLoader } from '@cornerstonejs/dicom-image-loader';
import {
  addTool, annotation, Enums as ToolEnums, init as initTools, RectangleROITool, segmentation, ToolGroupManager,
} from '@cornerstonejs/tools';
import { data as dcmjs } from 'dcmjs';

const LABELMAP = ToolEnums.SegmentationRepresentations.Labelmap;
const LABEL = { width: 150, height: 18, padding: 25 };  // pixels
const VOLUME = 'cornerstoneStreamingImageVolume:source';

// The loader of files over HTTP leaves the instance's UID out of the module in which the SEG adapter looks for it.
const provider = {
  get: (type, imageId) =>
    type === 'generalImageModule'
      ? { ...metaData.get(type, imageId), ...metaData.get('sopCommonModule', imageId) }
      : metaData.get(type, imageId),
};

const read = async (place) => (await fetch(place)).arrayBuffer();
const send = (place, body) => fetch(`measured/${place}`, { method: 'POST', body });
const wadouri = (place) => `wadouri:${new URL(place, location).href}`;
const list = (value) => [value ?? []].flat();

/** A viewport in a figure of the page. */
function addView(engine, id, type, caption, width, height) {
  const figure = document.body.appendChild(document.createElement('figure'));
  const element = figure.appendChild(document.createElement('div'));
  element.style.cssText = `width: ${width}px; height: ${height}px; overflow: hidden`;
  figure.appendChild(document.createElement('figcaption')).textContent = caption;
  engine.enableElement({ viewportId: id, type, element });
  return engine.getViewport(id);
}

/** Waits until what changed is prepared, which it does in one frame, and drawn, in the next; three more for safety. */
async function render(viewport) {
  viewport.render();
  for (let frame = 0; frame < 5; frame++) await new Promise(requestAnimationFrame);
}

/** Rows and columns of the source images, and the size of a view with a pixel for the smaller side of one of theirs. */
function gridOf(imageId) {
  const { rows, columns, pixelSpacing: [height, width] } = metaData.get('imagePlaneModule', imageId);
  const smaller = Math.min(height, width);
  return { rows, columns, size: [Math.round((columns * width) / smaller), Math.round((rows * height) / smaller)] };
}

/** Where a pixel of a source image is in the patient (PS3.3 C.7.6.2.1.1). */
function positionOf(imageId, column, row) {
  const plane = metaData.get('imagePlaneModule', imageId);
  const { imagePositionPatient, imageOrientationPatient: along, pixelSpacing } = plane;
  const [down, right] = [row * pixelSpacing[0], column * pixelSpacing[1]];
  return imagePositionPatient.map((start, axis) => start + right * along[axis] + down * along[axis + 3]);
}

/** Where the pixels of a grid are on the canvas, as an origin and two steps; `place` has them in the patient. */
function placesOf(viewport, place) {
  const corners = [place(0, 0), place(1, 0), place(0, 1)];
  const [origin, right, down] = corners.map((position) => viewport.worldToCanvas(position));
  return { origin, right: right.map((x, axis) => x - origin[axis]), down: down.map((y, axis) => y - origin[axis]) };
}

/** What the canvas shows at the centres of `width * height` voxels: RGBA. */
function sample(viewport, { origin, right, down }, width, height) {
  const canvas = viewport.getCanvas();
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let row = 0, to = 0; row < height; row++)
    for (let column = 0; column < width; column++, to += 4) {
      const [x, y] = origin.map((start, axis) => Math.floor(start + column * right[axis] + row * down[axis]));
      const from = (y * canvas.width + x) * 4;
      pixels.set(data.subarray(from, from + 4), to);
    }
  return pixels;
}

/** Sends, for each segment, the voxels at which it changes the picture. All are shown in the end. */
async function measureSegments(viewport, places, width, height, layers, view) {
  const all = layers.flatMap(({ id, file, segments }) =>
    segments.map(({ SegmentNumber }) => ({ id, file, number: Number(SegmentNumber) })));
  const show = ({ id, number }, visible) =>
    segmentation.config.visibility.setSegmentIndexVisibility(
      viewport.id, { segmentationId: id, type: LABELMAP }, number, visible);
  all.forEach((segment) => show(segment, false));
  await render(viewport);
  const without = sample(viewport, places, width, height);
  for (const segment of all) {
    show(segment, true);
    await render(viewport);
    const shown = sample(viewport, places, width, height);
    const changes = (pixel) => [0, 1, 2].some((part) => shown[4 * pixel + part] !== without[4 * pixel + part]);
    await send(`${segment.file}/${view}/${segment.number}`,
      Uint8Array.from({ length: width * height }, (_, pixel) => changes(pixel)));
    show(segment, false);
  }
  all.forEach((segment) => show(segment, true));
  await render(viewport);
}

/** The layers of a file as cornerstone3D's adapter reads it: segments that overlap are in several of them. */
async function loadSegmentation(file, imageIds) {
  const { labelMapImages, segMetadata } = await adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer(
    imageIds, await read(file), { metadataProvider: provider });
  return labelMapImages.map((images, index) => {
    const id = `${file}-${index}`;
    const held = new Set(images.flatMap((image) => [...new Set(image.voxelManager.getScalarData())]));
    const segments = segMetadata.data.filter((segment) => segment && held.has(Number(segment.SegmentNumber)));
    segmentation.addSegmentations([{
      segmentationId: id,
      representation: { type: LABELMAP, data: { imageIds: images.map(({ imageId }) => imageId) } },
      config: { segments: Object.fromEntries(segments.map(({ SegmentNumber, SegmentLabel }) =>
        [SegmentNumber, { segmentIndex: Number(SegmentNumber), label: SegmentLabel }])) },
    }]);
    return { id, file, segments };
  });
}

/** Lays layers over a view, in the colours that the file recommends. */
async function overlay(viewport, layers) {
  for (const { id, segments } of layers) {
    await segmentation.addLabelmapRepresentationToViewport(viewport.id, [{ segmentationId: id, type: LABELMAP }]);
    for (const { SegmentNumber, RecommendedDisplayCIELabValue } of segments) {
      const color = dcmjs.Colors.dicomlab2RGB(RecommendedDisplayCIELabValue).map((part) => Math.round(255 * part));
      segmentation.config.color.setSegmentIndexColor(viewport.id, id, Number(SegmentNumber), [...color, 255]);
    }
  }
}

/** The boxes of the report, as the rectangles that cornerstone3D's adapter makes of them. */
function readBoxes(report, imageIds) {
  const imagesByInstance = Object.fromEntries(
    imageIds.map((imageId) => [`${metaData.get('sopCommonModule', imageId).sopInstanceUID}:1`, imageId]));
  const named = (items, code) => list(items).find((item) => list(item.ConceptNameCodeSequence)[0].CodeValue === code);
  const labels = [];
  for (const group of list(named(report.ContentSequence, '126010').ContentSequence)) {
    const items = list(group.ContentSequence);
    if (!items.some((item) => item.ValueType === 'SCOORD')) continue;
    const probability = list(named(items, '122157').MeasuredValueSequence)[0].NumericValue;
    labels.push(`${named(items, '112039').TextValue}, ${Number(probability).toFixed(2)}`);
    // The adapter looks for the region below the first measurement, and gives up where the group has it (TID 1410).
    // Without measurements it takes the group's.
    group.ContentSequence = items.filter((item) => item.ValueType !== 'NUM');
  }
  const found = adaptersSR.Cornerstone3D.MeasurementReport.generateToolState(report, imagesByInstance, provider);
  return list(found[RectangleROITool.toolName]).map(({ annotation: box }, index) => {
    box.data.label = labels[index];
    box.data.handles.activeHandleIndex = null;
    return box;
  });
}

/** The rectangles drawn over a view: left, top, right and bottom in pixels of the image, from its top left corner. */
const drawnBoxes = (viewport, { origin, right, down }) =>
  [...viewport.element.querySelectorAll('svg rect:not(.background)')].map((rectangle) => {
    const [x, y, width, height] = ['x', 'y', 'width', 'height'].map((name) => Number(rectangle.getAttribute(name)));
    const place = (left, top) => [(left - origin[0]) / right[0] + 0.5, (top - origin[1]) / down[1] + 0.5];
    return [...place(x, y), ...place(x + width, y + height)];
  });

/** Adds boxes to a view, from left to right, with their texts above and below in turn. */
function addBoxes(viewport, boxes) {
  const cornersOf = ({ data }) => data.handles.points.map((point) => viewport.worldToCanvas(point));
  const edge = (box, axis, which) => which(...cornersOf(box).map((corner) => corner[axis]));
  boxes.sort((one, other) => edge(one, 0, Math.min) - edge(other, 0, Math.min)).forEach((box, number) => {
    const left = Math.min(edge(box, 0, Math.min), viewport.canvas.clientWidth - LABEL.width);
    const top = number % 2 ? edge(box, 1, Math.max) : edge(box, 1, Math.min) - LABEL.height;
    const worldPosition = viewport.canvasToWorld([left - LABEL.padding, top - LABEL.padding]);
    box.data.handles.textBox = { hasMoved: true, worldPosition };
    annotation.state.addAnnotation(box, viewport.element);
  });
}

async function showSlice(engine, index, imageIds, layers, boxes, { window }) {
  const { rows, columns, size } = gridOf(imageIds[0]);
  const caption = `Source slice ${index + 1}, the segmentation and the boxes of the report`;
  const viewport = addView(engine, `slice-${index}`, Enums.ViewportType.STACK, caption, ...size);
  await viewport.setStack(imageIds, index);
  viewport.setProperties({ voiRange: { lower: window[0], upper: window[1] } });
  await overlay(viewport, layers);
  const places = placesOf(viewport, (column, row) => positionOf(imageIds[index], column, row));
  await measureSegments(viewport, places, columns, rows, layers, index);
  ToolGroupManager.getToolGroup('boxes').addViewport(viewport.id, engine.id);
  addBoxes(viewport, boxes.filter((box) => box.metadata.referencedImageId === imageIds[index]));
  await render(viewport);
  await send(`boxes/${index}`, JSON.stringify(drawnBoxes(viewport, places)));
}

/** A section through all slices along the rows of the images: what lies in the wrong slice shows here. */
async function showCoronal(engine, imageIds, layers, { window, coronal_row: row }) {
  const { columns, size } = gridOf(imageIds[0]);
  const caption = 'Coronal section of source and segmentation';
  const viewport = addView(engine, 'coronal', Enums.ViewportType.ORTHOGRAPHIC, caption, ...size);
  const volume = await volumeLoader.createAndCacheVolume(VOLUME, { imageIds: [...imageIds] });  // it sorts the list
  await new Promise((resolve) => volume.load(resolve));
  await setVolumesForViewports(engine, [{ volumeId: VOLUME }], [viewport.id]);
  viewport.setProperties({ voiRange: { lower: window[0], upper: window[1] } });
  const [down, across] = [volume.direction.slice(3, 6), volume.direction.slice(6, 9)];
  const towardsHead = across[2] < 0 ? -1 : 1;
  viewport.setOrientation({
    viewPlaneNormal: down.map((part) => -part), viewUp: across.map((part) => towardsHead * part),
  });
  viewport.jumpToWorld(volume.imageData.indexToWorld([columns / 2, row, imageIds.length / 2]));
  await overlay(viewport, layers);
  const places = placesOf(viewport, (column, slice) => positionOf(imageIds[slice], column, row));
  await measureSegments(viewport, places, columns, imageIds.length, layers, 'coronal');
}

async function showKeyImage(engine, frame, width, { key_images: place }) {
  const imageId = `${wadouri(place)}?frame=${frame}`;
  const { rows, columns } = await imageLoader.loadAndCacheImage(imageId);
  const caption = `Key image ${frame}`;
  const viewport = addView(engine, `key-${frame}`, Enums.ViewportType.STACK, caption, columns, rows);
  await viewport.setStack([imageId]);
  viewport.setProperties({ interpolationType: Enums.InterpolationType.NEAREST });
  await render(viewport);
  const { imageData } = viewport.getImageData();
  const places = placesOf(viewport, (column, row) => imageData.indexToWorld([column, row, 0]));
  await send(`key-images/${frame}`, sample(viewport, places, columns, rows));
  // Measured pixel by pixel, and now shown as wide as the others.
  Object.assign(viewport.element.style, { width: `${width}px`, height: `${(rows * width) / columns}px` });
}

/** A frame of the Parametric Map as an image of its own. */
async function showSaliency(engine, { saliency, saliency_frame: frame }, { rows, columns, size }) {
  const imageId = `${wadouri(saliency)}?frame=${frame}`;
  // Without a type it takes values from 0 to 1 for whole numbers, if the extremes are.
  await imageLoader.loadAndCacheImage(imageId, { targetBuffer: { type: 'Float32Array' } });
  const { windowCenter: [center], windowWidth: [width], voiLUTFunction } = metaData.get('voiLutModule', imageId);
  const caption = 'Parametric Map of the saliency';
  const viewport = addView(engine, 'saliency', Enums.ViewportType.STACK, caption, ...size);
  await viewport.setStack([imageId]);
  viewport.setProperties({
    // It takes the window that the file recommends for whole numbers only.
    voiRange: { lower: center - width / 2, upper: center + width / 2 },
    VOILUTFunction: voiLUTFunction,
    interpolationType: Enums.InterpolationType.NEAREST,
  });
  await render(viewport);
  const { imageData } = viewport.getImageData();
  const places = placesOf(viewport, (column, row) => imageData.indexToWorld([column, row, 0]));
  await send('saliency', sample(viewport, places, columns, rows));
}

async function main() {
  const job = await (await fetch('job.json')).json();
  await initCore();
  await initLoader({ maxWebWorkers: 1 });
  await initTools();
  addTool(RectangleROITool);
  const toolGroup = ToolGroupManager.createToolGroup('boxes');
  toolGroup.addTool(RectangleROITool.toolName, { getTextLines: ({ label }) => [label] });
  toolGroup.setToolEnabled(RectangleROITool.toolName);
  const styles = annotation.config.style.getDefaultToolStyles();
  annotation.config.style.setDefaultToolStyles({
    ...styles, global: { ...styles.global, textBoxBackground: '#000a', textBoxFontSize: '12px' },
  });
  segmentation.config.style.setStyle({ type: LABELMAP }, { fillAlpha: 0.35, outlineWidth: 1 });

  const imageIds = job.source.map(wadouri);
  for (const imageId of imageIds) await imageLoader.loadAndCacheImage(imageId);
  const grid = gridOf(imageIds[0]);
  const layers = [];
  for (const file of job.segmentations) layers.push(...(await loadSegmentation(file, imageIds)));
  const { dict } = dcmjs.DicomMessage.readFile(await read(job.report));
  const boxes = readBoxes(dcmjs.DicomMetaDictionary.naturalizeDataset(dict), imageIds);

  const engine = new RenderingEngine('viewer');
  for (const index of job.slices) await showSlice(engine, index, imageIds, layers, boxes, job);
  await showCoronal(engine, imageIds, layers, job);
  if (job.saliency) await showSaliency(engine, job, grid);
  for (const frame of job.key_frames) await showKeyImage(engine, frame, grid.size[0], job);
}

main()
  .catch((error) => send('error', String(error.stack)))
  .finally(() => fetch('end', { method: 'POST' }));
