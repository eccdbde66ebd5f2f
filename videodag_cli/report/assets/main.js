// Puts the page together.

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId('theme').textContent = theme === 'dark' ? 'Light' : 'Dark';
  byId('theme').setAttribute('aria-label', `Switch to ${theme === 'dark' ? 'light' : 'dark'} colours`);
  readPalette();
  emit('theme');
}

async function start() {
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  setTheme(dark.matches ? 'dark' : 'light');
  dark.addEventListener('change', () => setTheme(dark.matches ? 'dark' : 'light'));
  byId('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
  await unpack();
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
