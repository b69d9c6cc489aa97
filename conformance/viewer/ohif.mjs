// Opens studies in OHIF as a reader does, one object after the other, and tells the server what came to the screen.
//
// node ohif.mjs JOB, a JSON file: see `jobs` of ohif.py.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const PAGE = fileURLToPath(new URL('page.js', import.meta.url));
const [LISTED_MS, SHOWN_MS, JUMPED_MS, BLACK_MS] = [180_000, 120_000, 30_000, 5_000];
const SIZE = { width: 1400, height: 900 };

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));

/** Whether something came true within the time. */
async function comesTrue(page, test, argument, timeout) {
  try {
    await page.waitForFunction(test, argument, { timeout });
    return true;
  } catch (error) {
    if (error.name === 'TimeoutError') return false;
    throw error;
  }
}

/** Answers the question of the viewport, if it asks one. */
async function sayYes(page) {
  const button = page.getByRole('button', { name: 'Yes', exact: true });
  try {
    await button.click();
  } catch (error) {
    if (error.name === 'TimeoutError') return false;
    throw error;
  }
  return true;
}

const isShown = (sop) => window.looked.current() === sop;

async function openImages(page, uid, { sop, place }, note) {
  const first = await comesTrue(page, ([shown, of]) => {
    const current = window.looked.current();
    return current && window.looked.setOf(current)?.uid === shown && (window.looked.scrollTo(of), true);
  }, [uid, sop], SHOWN_MS);
  if (!first || !(await comesTrue(page, isShown, sop, SHOWN_MS))) {
    note('It is not shown.');
    return {};
  }
  return { pixels: await page.evaluate(([of, to]) => window.looked.sendPixels(of, to), [sop, place]) };
}

async function openSegmentation(page, uid, { place, slice, picture }, note) {
  if (!(await sayYes(page))) note('OHIF does not offer to open it.');
  if (!(await comesTrue(page, (of) => window.looked.segments(of) && window.looked.current(), uid, SHOWN_MS))) {
    note('It is not opened.');
    return {};
  }
  const found = { segments: await page.evaluate((of) => window.looked.segments(of), uid) };
  found.voxels = await page.evaluate(([of, to]) => window.looked.sendVoxels(of, to), [uid, place]);
  await page.evaluate((of) => window.looked.scrollTo(of), slice);
  if (!(await comesTrue(page, isShown, slice, SHOWN_MS))) note('It is not laid over its source.');
  await page.evaluate(() => window.looked.settled());
  await page.evaluate((to) => window.looked.sendScreen(to), `${place}/screen`);
  if (picture) await page.screenshot({ path: picture });
  return found;
}

/** Goes to each of a list of measurements, until one doesn't come to its image; returns how many did. */
async function walk(page, measurements, go) {
  for (const [index, { sop }] of measurements.entries()) {
    await go(index);
    if (!(await comesTrue(page, isShown, sop, JUMPED_MS))) return index;
  }
  return measurements.length;
}

async function openReport(page, uid, { picture, title }, note) {
  const found = await page.evaluate((of) => window.looked.loadReport(of), uid);
  if (found.error) {
    note(found.error);
    return found;
  }
  if (!found.measured) {
    if (!(await comesTrue(page, (words) => document.body.innerText.includes(words), title, SHOWN_MS)))
      note('Its title is not on the screen.');
    found.text = await page.locator('body').innerText();
  } else if (!found.measurements.length) {
    await page.waitForTimeout(BLACK_MS);
    if (!(await page.evaluate(() => window.looked.current()))) note('Nothing is shown.');
  } else {
    found.seen = await walk(page, found.measurements, async (index) => {
      if (index) await page.locator('[data-cy="viewport-action-arrows-right"] svg').first().click();
    });
    await page.evaluate(() => window.looked.settled());
    found.outlines = await page.evaluate(() => window.looked.outlines());
  }
  if (picture) await page.screenshot({ path: picture });
  return found;
}

/** Lets OHIF track the measurements of a report, which it offers when the report is opened, and only then. */
async function trackReport(page, uid, { picture }, note) {
  const { error, measurements, trackable } = await page.evaluate((of) => window.looked.loadReport(of), uid);
  if (error || !trackable) return {};
  if (!(await sayYes(page))) note('OHIF does not offer to track the measurements.');
  await comesTrue(page, (count) => window.looked.tracked().length >= count, measurements.length, JUMPED_MS);
  const tracked = await page.evaluate(() => window.looked.tracked());
  const jumped = await walk(page, tracked, (index) =>
    page.evaluate((of) => window.looked.jumpTo(of), tracked[index].uid));
  if (picture && tracked.length) {
    await page.evaluate((of) => (window.looked.listTracked(), window.looked.jumpTo(of)), tracked[0].uid);
    await page.evaluate(() => window.looked.settled());
    await page.screenshot({ path: picture });
  }
  return { tracked, jumped };
}

const OPEN = { image: openImages, segmentation: openSegmentation, report: openReport, tracking: trackReport };

async function openObject(page, object, found, note) {
  const set = await page.evaluate((sop) => window.looked.setOf(sop), object.sop);
  if (!set) note('OHIF does not list it.');
  Object.assign(found, set);
  if (!set || set.unsupported) return;
  await page.evaluate((uid) => window.looked.show(uid), set.uid);
  try {
    Object.assign(found, await OPEN[object.kind](page, set.uid, object, note));
  } catch (error) {
    note(`It could not be opened: ${error.message}`);
  }
  if ((await page.locator('body').innerText()).includes('Something went wrong')) note('"Something went wrong"');
}

/** Opens some objects of a study in a page of their own. */
async function openPage(context, uid, objects, result) {
  const page = await context.newPage();
  page.setDefaultTimeout(SHOWN_MS);
  await page.addInitScript(() => localStorage.setItem('shownTours', '["basicViewerTour"]'));
  await page.addInitScript({ path: PAGE });
  let [{ name }] = objects;
  const note = (problem) => result.problems.push([name, problem]);
  page.on('console', (message) => message.type() === 'error' && note(`Console: ${message.text()}`));
  page.on('pageerror', (error) => note(`Uncaught: ${error.stack}`));
  await page.goto(`${job.site}/viewer?StudyInstanceUIDs=${uid}`, { waitUntil: 'commit' });
  const sops = objects.map(({ sop }) => sop);
  const listed = (all) => window.services?.displaySetService && all.every(window.looked.setOf);
  await comesTrue(page, listed, sops, LISTED_MS);
  if (await comesTrue(page, () => window.looked.current(), null, SHOWN_MS)) {
    for (const object of objects) {
      ({ name } = object);
      await openObject(page, object, (result.objects[name] ??= {}), note);
    }
  } else note('OHIF shows nothing at its start.');
  await page.close();
}

const browser = await chromium.launch({ executablePath: job.chromium, args: job.arguments });
try {
  const context = await browser.newContext({ viewport: SIZE });
  for (const { uid, place, pages } of job.studies) {
    const result = { problems: [], objects: {} };
    for (const objects of pages) await openPage(context, uid, objects, result);
    await fetch(`${job.site}/measured/${place}`, { method: 'POST', body: JSON.stringify(result) });
  }
} finally {
  await browser.close();
}
