// What the page does without asking the server: the slider through a run's samples, and keys for the reader study.
const chosen = {};  // run -> step that a visitor looks at; the newest otherwise

function showStep(figure) {
  const steps = figure.dataset.steps.split(",").map(Number);
  const slider = figure.querySelector("input");
  const step = steps[Number(slider.value)];
  const address = figure.dataset.src + step;
  figure.querySelector("output").textContent = step.toLocaleString("en");
  const image = figure.querySelector("img"), link = figure.querySelector("a");
  if (image.getAttribute("src") !== address) image.src = address;
  image.alt = image.alt.replace(/\d+$/, step);
  link.href = address;
}

function prepare(figure) {
  if (figure.dataset.ready) return;
  figure.dataset.ready = "yes";
  const place = figure.dataset.steps.split(",").map(Number).indexOf(chosen[figure.dataset.run]);
  if (place >= 0) figure.querySelector("input").value = place;
  showStep(figure);
}

document.addEventListener("input", event => {
  const figure = event.target.closest?.("figure.time");
  if (!figure) return;
  const steps = figure.dataset.steps.split(",").map(Number), place = Number(event.target.value);
  if (place === steps.length - 1) delete chosen[figure.dataset.run];
  else chosen[figure.dataset.run] = steps[place];
  showStep(figure);
});

document.addEventListener("keydown", event => {
  if (event.target.closest?.("input, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const answer = {r: "real", s: "synthetic"}[event.key.toLowerCase()];
  const button = answer && document.querySelector(`.quiz button[data-answer="${answer}"]`);
  if (button?.offsetParent) button.click();
});

new MutationObserver(() => document.querySelectorAll("figure.time:not([data-ready])").forEach(prepare))
  .observe(document.documentElement, {childList: true, subtree: true});
