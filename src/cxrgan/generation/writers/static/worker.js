// Runs the generator beside the page: what is asked for, in order. `engine.js` asks for one thing at a time.

let ort, session;

/** The runtime, its program and the model, each as it was fetched. */
async function load({ runtime, program, model }) {
  const address = URL.createObjectURL(new Blob([runtime], { type: "text/javascript" }));
  ort = await import(address);
  URL.revokeObjectURL(address);
  ort.env.wasm.numThreads = 1; // more of them need headers that a plain server does not send
  ort.env.wasm.wasmBinary = program;
  const options = { executionProviders: ["wasm"], graphOptimizationLevel: "disabled" }; // the exporter has optimised it
  session = await ort.InferenceSession.create(new Uint8Array(model), options);
}

/** One image: a latent of this shape, the index of a class, psi -> (M * M) grey values. */
async function draw({ latent, shape, label, truncation }) {
  const every = {
    latents: () => new ort.Tensor("float32", latent, [1, ...shape]),
    label: () => new ort.Tensor("int64", [BigInt(label)], [1]),
    truncation: () => new ort.Tensor("float32", [truncation], []),
  };
  const inputs = Object.fromEntries(session.inputNames.map((name) => [name, every[name]()]));
  const { image } = await session.run(inputs);
  const grey = new Uint8ClampedArray(image.data.length);
  image.data.forEach((value, i) => { grey[i] = (value + 1) * 127.5; }); // clamps, and rounds half to even, as cxrgan does
  image.dispose();
  return grey;
}

self.onmessage = async ({ data: { task, ...given } }) => {
  try {
    self.postMessage({ value: await { load, draw }[task](given) });
  } catch (error) {
    self.postMessage({ error: String(error?.message ?? error) });
  }
};
