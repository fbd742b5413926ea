// The page: what is asked for, by pointer and keys, and what is shown. Draws nothing by itself (`engine.js`).

import { Engine } from "./engine.js";
import { onPlane, randn } from "./latents.js";
import { png } from "./png.js";

const NUM_SEEDS = 2 ** 32;
const REACH = 1.25; // of the pad, from its middle: the map's images lie at -1, -0.5, 0, 0.5 and 1
const MAP = [-1, -0.5, 0, 0.5, 1];
const NUM_SHOWN = 12;
const [STEP, LEAP] = [0.05, 0.25]; // of an arrow key, and with Shift

const $ = (id) => document.getElementById(id);
const of = await (await fetch("model.json")).json();
const { image_size: side, latent_shape: shape, classes, origin } = of;
const form = $("controls");

let engine;
let seed = 0; // in the middle of the pad
let place = { x: 0, y: 0 };
let corners = []; // the latents of the seed and its two neighbours, which span the pad
let shown = null; // the large image and what it is of
let first = 0; // seed of the gallery

const latent = (own) => randn(shape.reduce((a, b) => a * b), own);
const settings = () => ({ label: Number(form.elements.label?.value ?? 0), truncation: Number(form.elements.truncation?.value ?? 1) });
const after = (start, steps) => (start + steps) % NUM_SEEDS;
const className = (label) => classes[label] ?? "";

/** The seed whose own image lies at this place of the pad, if one does. */
function seedAt({ x, y }) {
  const index = [[0, 0], [1, 0], [0, 1]].findIndex(([a, b]) => a === x && b === y);
  return index < 0 ? null : after(seed, index);
}

const request = ({ x, y }) => ({ latent: Float32Array.from(onPlane(corners, x, y)), shape, ...settings() });

/** Grey values -> a canvas. */
function paint(canvas, grey) {
  const image = new ImageData(side, side);
  grey.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** A small canvas that shows nothing yet. */
function small() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  return canvas;
}

function said({ x, y }) {
  const way = [[x, "right", "left"], [y, "up", "down"]].filter(([value]) => value);
  return way.map(([value, plus, minus]) => `${Math.abs(value).toFixed(2)} ${value > 0 ? plus : minus}`).join(", ") || "at the seed";
}

/** Ask for the large image at `place`. */
function draw() {
  const here = { ...place, seed, own: seedAt(place), ...settings() };
  $("mark").style.left = `${50 + (50 * here.x) / REACH}%`;
  $("mark").style.top = `${50 - (50 * here.y) / REACH}%`;
  $("pad").setAttribute("aria-valuenow", here.x.toFixed(2));
  $("pad").setAttribute("aria-valuetext", said(here));
  engine.frame(request(place), (grey) => {
    paint($("image"), grey);
    if (!shown) performance.mark("first image");
    shown = { ...here, grey };
    const what = [here.own === null ? `seed ${here.seed}, moved ${said(here)}` : `seed ${here.own}`, className(here.label)];
    if (of.truncates && here.truncation !== 1) what.push(`truncation ${here.truncation}`);
    const words = what.filter(Boolean).join(", ");
    $("image").setAttribute("aria-label", `Synthetic chest X-ray: ${words}`);
    $("caption").textContent = `${words} · ${side} × ${side} pixels, enlarged`;
    $("again").textContent = here.own === null ? "" : command(here);
    $("download").disabled = false;
  });
}

/** The command that makes the same image. */
function command({ own, label, truncation }) {
  const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);
  const parts = ["cxrgan generate", word(origin.generator), `--seed ${own} --num 1`];
  if (classes.length) parts.push(`--label ${word(className(label))}`);
  if (truncation !== 1) parts.push(`--truncation ${truncation}`);
  return `${parts.join(" ")} --out images`;
}

/** Everything anew: another seed, class or truncation. */
function redraw() {
  corners = [0, 1, 2].map((steps) => latent(after(seed, steps)));
  draw();
  const places = MAP.toReversed().flatMap((y) => MAP.map((x) => ({ x, y })));
  const canvases = [...$("map").children];
  const jobs = places.map((each, i) => ({ request: request(each), show: (grey) => paint(canvases[i], grey), far: Math.hypot(each.x, each.y) }));
  engine.thumbs("map", jobs.sort((a, b) => a.far - b.far)); // from the middle outwards
}

/** The gallery from the seed `first` on. */
function redrawGallery() {
  const jobs = [...$("gallery").children].map((button, i) => {
    const own = after(first, i);
    const [canvas, caption] = button.children;
    caption.textContent = own;
    button.setAttribute("aria-label", `Take seed ${own}`);
    button.onclick = () => take(own);
    return { request: { latent: latent(own), shape, ...settings() }, show: (grey) => paint(canvas, grey) };
  });
  engine.thumbs("gallery", jobs);
}

function take(chosen) {
  seed = chosen;
  form.elements.seed.value = chosen;
  place = { x: 0, y: 0 };
  redraw();
  $("image").scrollIntoView({ block: "nearest" });
}

function moveTo({ x, y }) {
  const inside = (value) => Math.round(100 * Math.min(REACH, Math.max(-REACH, value))) / 100;
  place = { x: inside(x), y: inside(y) };
  draw();
}

function followPointer(event) {
  const box = $("pad").getBoundingClientRect();
  const along = (value, start, length) => ((value - start) / length) * 2 * REACH - REACH;
  moveTo({ x: along(event.clientX, box.left, box.width), y: -along(event.clientY, box.top, box.height) });
}

function followKey(event) {
  const step = event.shiftKey ? LEAP : STEP;
  const ways = { ArrowRight: [step, 0], ArrowLeft: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step], Home: [-place.x, -place.y] };
  if (!(event.key in ways)) return;
  event.preventDefault();
  const [x, y] = ways[event.key];
  moveTo({ x: place.x + x, y: place.y + y });
}

/** What the file of an image says of it; that of a seed's own image can be proved. */
async function download() {
  const { grey, own, label, truncation } = shown;
  const texts = { Description: of.description, Software: `cxrgan ${origin.cxrgan}`, Copyright: origin.licence };
  if (own !== null) texts.cxrgan = JSON.stringify({ ...origin, truncation, shows: "image", seeds: [own], labels: [className(label)] });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await png(grey, side, texts));
  link.download = own === null ? `near-seed-${shown.seed}.png` : `seed-${String(own).padStart(6, "0")}.png`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function wire() {
  const pad = $("pad");
  pad.addEventListener("pointerdown", (event) => { pad.setPointerCapture(event.pointerId); followPointer(event); });
  pad.addEventListener("pointermove", (event) => { if (pad.hasPointerCapture(event.pointerId)) followPointer(event); });
  pad.addEventListener("keydown", followKey);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    if (!target.validity.valid) return;
    if (target.id === "truncation") $("psi").textContent = settings().truncation.toFixed(2);
    if (target.id === "seed") seed = target.valueAsNumber;
    redraw();
    if (target.id !== "seed") redrawGallery();
  });
  $("next").onclick = () => take(after(seed, 1));
  $("random").onclick = () => take(crypto.getRandomValues(new Uint32Array(1))[0]);
  $("download").onclick = download;
  $("others").onclick = () => { first = after(first, NUM_SHOWN); redrawGallery(); };
}

function complain(error) {
  $("status").hidden = false;
  $("status").className = "warning";
  $("status").textContent = `The generator cannot run here: ${error?.message ?? error}`;
}

window.addEventListener("unhandledrejection", (event) => complain(event.reason));
$("map").append(...Array.from({ length: MAP.length ** 2 }, small));
$("gallery").append(...Array.from({ length: NUM_SHOWN }, () => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(small(), document.createElement("span"));
  return button;
}));
try {
  engine = await Engine.load(of.files);
  $("status").hidden = true;
  wire();
  redraw();
  redrawGallery();
} catch (error) {
  complain(error);
}
