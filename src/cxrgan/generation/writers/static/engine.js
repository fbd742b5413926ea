// The generator as the page sees it: images by request, of which at most one is on its way.

/** What model.json names, whole and unchanged. */
async function fetched({ url, integrity }) {
  const response = await fetch(url, { integrity });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

export class Engine {
  #worker = new Worker("worker.js", { type: "module" });
  #frame = null; // the newest request for the large image; an older one that was not begun is dropped
  #thumbs = []; // small images, drawn when there is nothing better to do
  #busy = true;

  /** An engine that is ready, for the files that model.json names. */
  static async load(files) {
    const engine = new Engine();
    const names = ["runtime", "program", "model"];
    const contents = await Promise.all(names.map((name) => fetched(files[name])));
    const given = Object.fromEntries(names.map((name, i) => [name, contents[i]]));
    await engine.#ask({ task: "load", ...given }, contents);
    engine.#busy = false;
    return engine;
  }

  /** Draw the large image soon; `show` gets its grey values, unless a newer request comes before it is begun. */
  frame(request, show) {
    this.#frame = { request, show };
    this.#next();
  }

  /** Draw small images, [{request, show}], in place of those of this kind that are still to be drawn. */
  thumbs(kind, jobs) {
    this.#thumbs = [...this.#thumbs.filter((job) => job.kind !== kind), ...jobs.map((job) => ({ ...job, kind }))];
    this.#next();
  }

  async #next() {
    if (this.#busy) return;
    const job = this.#frame ?? this.#thumbs.shift();
    if (!job) return;
    if (job === this.#frame) this.#frame = null;
    this.#busy = true;
    job.show(await this.#ask({ task: "draw", ...job.request }));
    this.#busy = false;
    this.#next();
  }

  #ask(message, transferred = []) {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.value));
      this.#worker.onerror = (event) => reject(new Error(event.message ?? "the worker could not be started"));
      this.#worker.postMessage(message, transferred);
    });
  }
}
