// What is asked of OHIF from within its page, where it has its services, cornerstone3D and its tools on `window`.

(() => {
  const [SETTLED_TRIES, SETTLED_MS] = [20, 500];
  const TRACKED_PANEL = '@ohif/extension-measurement-tracking.panelModule.trackedMeasurements';

  const sopOf = (imageId) => imageId?.match(/\/instances\/([\d.]+)\//)?.[1];
  const send = (place, body) => fetch(`/measured/${place}`, { method: 'POST', body });

  const viewport = () => {
    const { cornerstoneViewportService, viewportGridService } = window.services;
    return cornerstoneViewportService.getCornerstoneViewport(viewportGridService.getActiveViewportId());
  };

  const pixelsOf = (canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;

  const rendered = () =>
    new Promise((done) => {
      viewport().element.addEventListener('CORNERSTONE_IMAGE_RENDERED', done, { once: true });
      viewport().render();
    });

  const instancesOf = (set) => [
    ...new Set([set, set.instance, ...(set.instances ?? []), ...(set.images ?? [])].map((of) => of?.SOPInstanceUID)),
  ];

  /** Where a pixel of an image is in the patient (PS3.3 C.7.6.2.1.1). */
  function positionOf(imageId, column, row) {
    const plane = window.cornerstone.metaData.get('imagePlaneModule', imageId);
    const { imagePositionPatient, imageOrientationPatient: along, pixelSpacing } = plane;
    const [down, right] = [row * pixelSpacing[0], column * pixelSpacing[1]];
    return imagePositionPatient.map((start, axis) => start + right * along[axis] + down * along[axis + 3]);
  }

  window.looked = {
    /** The display set that has an instance, and whether OHIF says that it can't show it. */
    setOf(sop) {
      const found = window.services.displaySetService.activeDisplaySets.find((set) => instancesOf(set).includes(sop));
      return found && { uid: found.displaySetInstanceUID, unsupported: Boolean(found.unsupported) };
    },

    /** Puts a display set into the viewport, and takes away the segmentations that lie over it. */
    show(uid) {
      const { viewportGridService: grid, segmentationService } = window.services;
      segmentationService.clearSegmentationRepresentations(grid.getActiveViewportId());
      grid.setDisplaySetsForViewport({ viewportId: grid.getActiveViewportId(), displaySetInstanceUIDs: [uid] });
    },

    /** The instance whose image is in the viewport, once its pixels are there. */
    current() {
      const imageId = viewport()?.getCurrentImageId?.();
      return imageId && window.cornerstone.cache.getImage(imageId) ? sopOf(imageId) : undefined;
    },

    async scrollTo(sop) {
      const index = viewport().getImageIds().findIndex((imageId) => sopOf(imageId) === sop);
      await viewport().setImageIdIndex(index);
    },

    /** Waits until the screen no longer changes: what lies over an image is drawn some frames after it. */
    async settled() {
      let before;
      for (let tries = 0; tries < SETTLED_TRIES; tries++) {
        await new Promise((done) => setTimeout(done, SETTLED_MS));
        await rendered();
        const now = pixelsOf(viewport().getCanvas()).reduce((sum, value, index) => (sum * 31 + value + index) | 0, 0);
        if (now === before) return;
        before = now;
      }
    },

    /** Sends the pixels of every image in the viewport that is one of `sop`; returns what each is, by its place. */
    async sendPixels(sop, place) {
      const sent = {};
      const images = viewport().getImageIds().filter((imageId) => sopOf(imageId) === sop);
      for (const [frame, imageId] of images.entries()) {
        const image = await window.cornerstone.imageLoader.loadAndCacheImage(imageId);
        const pixels = image.getPixelData();
        sent[`${place}/${frame}`] = pixels.constructor.name;
        await send(`${place}/${frame}`, pixels);
      }
      return sent;
    },

    /** The segments of a segmentation that is open, by number; undefined as long as it isn't. */
    segments(uid) {
      const found = window.cornerstoneTools.segmentation.state.getSegmentation(uid);
      return found && Object.fromEntries(Object.values(found.segments).map((of) => [of.segmentIndex, of.label]));
    },

    /** Sends each image of each layer that isn't empty; segments that overlap are in several layers. */
    async sendVoxels(uid, place) {
      const { Labelmap } = window.cornerstoneTools.segmentation.state.getSegmentation(uid).representationData;
      const sent = {};
      for (const [index, imageId] of Labelmap.imageIds.entries()) {
        const { referencedImageId, voxelManager } = window.cornerstone.cache.getImage(imageId);
        const voxels = voxelManager.getScalarData();
        if (!voxels.some(Boolean)) continue;
        sent[`${place}/${index}`] = sopOf(referencedImageId);
        await send(`${place}/${index}`, Uint8Array.from(voxels));
      }
      return sent;
    },

    /** Sends what is on the screen at the centres of the pixels of the image in the viewport: RGBA. */
    async sendScreen(place) {
      const canvas = viewport().getCanvas();
      const data = pixelsOf(canvas);
      const imageId = viewport().getCurrentImageId();
      const { rows, columns } = window.cornerstone.metaData.get('imagePlaneModule', imageId);
      const pixels = new Uint8ClampedArray(rows * columns * 4);
      for (let row = 0, to = 0; row < rows; row++)
        for (let column = 0; column < columns; column++, to += 4) {
          const place = viewport().worldToCanvas(positionOf(imageId, column, row));
          const [x, y] = place.map((at) => Math.floor(at * window.devicePixelRatio));
          if (x < 0 || y < 0 || x >= canvas.width || y >= canvas.height) continue;
          const from = (y * canvas.width + x) * 4;
          pixels.set(data.subarray(from, from + 4), to);
        }
      await send(place, pixels);
    },

    /** What OHIF reads in a report: its measurements, where it takes it for one of measurements. */
    async loadReport(uid) {
      const set = window.services.displaySetService.getDisplaySetByUID(uid);
      try {
        await set.load();
      } catch (error) {
        return { error: String(error) };
      }
      const measurements = set.measurements.map((of) => ({
        uid: of.TrackingUniqueIdentifier, loaded: of.loaded, sop: of.ReferencedSOPInstanceUID,
      }));
      return { measured: set.isImagingMeasurementReport, measurements, trackable: set.isRehydratable };
    },

    /** The outlines that OHIF draws for a report: points in the patient. */
    outlines() {
      const all = window.cornerstoneTools.annotation.state.getAllAnnotations();
      return all.filter(({ metadata }) => metadata.toolName === 'DICOMSRDisplay').map(({ data, metadata }) => ({
        uid: data.TrackingUniqueIdentifier,
        sop: sopOf(metadata.referencedImageId),
        points: Object.values(data.renderableData).flat(2).map((point) => [...point]),
      }));
    },

    /** The measurements that OHIF tracks. */
    tracked() {
      return window.services.measurementService.getMeasurements().map((of) => ({
        uid: of.uid, sop: of.SOPInstanceUID, label: of.label,
      }));
    },

    /** The list of what is tracked, beside the image. */
    listTracked() {
      window.services.panelService.activatePanel(TRACKED_PANEL, true);
    },

    jumpTo(uid) {
      const { measurementService, viewportGridService } = window.services;
      measurementService.jumpToMeasurement(viewportGridService.getActiveViewportId(), uid);
    },
  };
})();
