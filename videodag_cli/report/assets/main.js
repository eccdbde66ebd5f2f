// Puts the page together.

async function start() {
  followTheme();
  const block = byId('block').textContent;
  byId('block').remove();
  await take(JSON.parse(byId('data').textContent), block);
  prepareBoxes();
  drawHeading();
  drawKeyFigures();
  drawAccounting();
  drawViewer();
  drawTimelines();
  drawEvents();
  drawFailures();
  drawNodes();
  drawRun();
  choose(DATA.first_line);
  document.documentElement.dataset.ready = 'yes';
}

start().catch((error) => {
  byId('fatal').hidden = false;
  byId('fatal').textContent = `This page could not be drawn: ${error.message}. A browser from 2023 or later is needed.`;
  throw error;
});
