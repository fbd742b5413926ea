// What the page does by itself: the slider through a run's samples, keys for the reader study, and moving in the latent space.
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

// Explore. One picture is asked for at a time; where the pointer went meanwhile, the newest place alone is asked for next.
const here = {u: 0, v: 0};
let asking = false, again = false, walking = 0;

function address() {
  const stage = document.querySelector(".explore"), share = stage.querySelector("[data-share]");
  const query = new URLSearchParams(stage.dataset.address);
  query.set("u", here.u.toFixed(3));
  query.set("v", here.v.toFixed(3));
  if (share && Number(share.value) > 0) {
    query.set("other", stage.querySelector("[data-other]").value);
    query.set("share", share.value);
  }
  for (const slider of document.querySelectorAll("[data-slider]"))
    if (Number(slider.value) !== 0) query.set("slider." + slider.dataset.slider, slider.value);
  return "views/picture.png?" + query;
}

async function look() {
  const stage = document.querySelector(".explore");
  if (!stage) return;
  const spot = stage.querySelector(".spot");
  spot.style.left = `${50 + 50 * here.u}%`;
  spot.style.top = `${50 - 50 * here.v}%`;
  stage.querySelector(".where").textContent = `u ${here.u.toFixed(2)}, v ${here.v.toFixed(2)}`;
  if (asking) { again = true; return; }
  asking = true;
  const image = stage.querySelector(".here img"), wanted = address();
  try {
    const answer = await fetch(wanted);
    if (answer.ok) {
      const url = URL.createObjectURL(await answer.blob()), before = image.src;
      image.src = url;
      // shown before the next is asked for; a browser that is short of time may never say so
      await Promise.race([image.decode().catch(() => {}), new Promise(done => setTimeout(done, 1000))]);
      if (before.startsWith("blob:")) URL.revokeObjectURL(before);
      stage.querySelector(".save").href = wanted;
    } else if (answer.status === 503) {
      await new Promise(done => setTimeout(done, 1000));
      again = true;
    }
  } finally {
    asking = false;
    if (again) { again = false; look(); }
  }
}

function go(u, v) {
  here.u = Math.max(-1, Math.min(1, u));
  here.v = Math.max(-1, Math.min(1, v));
  look();
}

function walk() {
  // From seed to seed along the edges of the triangle (0, 0), (1, 0), (0, 1).
  const corners = [[0, 0], [1, 0], [0, 1], [0, 0]], began = performance.now(), own = ++walking;
  const frame = now => {
    const way = (now - began) / 2500, leg = Math.floor(way);
    if (own !== walking || leg >= 3) return;
    const [[a, b], [c, d]] = corners.slice(leg, leg + 2), t = way - leg;
    go(a + t * (c - a), b + t * (d - b));
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

document.addEventListener("pointermove", event => {
  const pad = event.target.closest?.(".pad");
  if (!pad || (event.pointerType !== "mouse" && !event.isPrimary)) return;
  walking++;
  const box = pad.getBoundingClientRect();
  go(2 * (event.clientX - box.left) / box.width - 1, 1 - 2 * (event.clientY - box.top) / box.height);
});
document.addEventListener("keydown", event => {
  if (!event.target.closest?.(".pad")) return;
  const step = event.shiftKey ? 0.2 : 0.05;
  const ways = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step]};
  const way = event.key === "Home" ? [-here.u, -here.v] : ways[event.key];
  if (!way) return;
  event.preventDefault();
  walking++;
  go(here.u + way[0], here.v + way[1]);
});
document.addEventListener("input", event => {
  if (event.target.matches?.("[data-slider], [data-share], [data-other]")) look();
});
document.addEventListener("click", event => {
  if (event.target.closest?.(".walk")) walk();
  if (event.target.closest?.(".reset")) {
    document.querySelectorAll("[data-slider], [data-share]").forEach(slider => { slider.value = 0; });
    look();
  }
});
new MutationObserver(() => {
  const stage = document.querySelector(".explore:not([data-ready])");
  if (!stage) return;
  stage.dataset.ready = "yes";
  look();
}).observe(document.documentElement, {childList: true, subtree: true});
