// Grey values -> a PNG with texts, as cxrgan writes it: 8-bit grey, so that `cxrgan verify` takes it.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** (M * M) grey values and texts by keyword -> the PNG as a Blob. */
export async function png(grey, side, texts) {
  const rows = new Uint8Array(side * (side + 1)); // each begins with 0: no filter
  for (let y = 0; y < side; y++) rows.set(grey.subarray(y * side, (y + 1) * side), y * (side + 1) + 1);
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const header = new Uint8Array([...bigEndian(side), ...bigEndian(side), 8, 0, 0, 0, 0]);
  const chunks = [
    chunk("IHDR", header),
    ...Object.entries(texts).map(([keyword, text]) => chunk("iTXt", utf8(`${keyword}\0\0\0\0\0${text}`))),
    chunk("IDAT", new Uint8Array(await new Response(packed).arrayBuffer())),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob([new Uint8Array(SIGNATURE), ...chunks.flat()], { type: "image/png" });
}

/** A chunk: length, type, data, and the checksum of both. */
function chunk(type, data) {
  const body = new Uint8Array([...utf8(type), ...data]);
  return [bigEndian(data.length), body, bigEndian(crc32(body))];
}

const utf8 = (text) => new TextEncoder().encode(text);

const bigEndian = (number) => new Uint8Array([number >>> 24, number >>> 16, number >>> 8, number]);

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
