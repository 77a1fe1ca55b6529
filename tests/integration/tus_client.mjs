// Uploads one file by tus-js-client, as told in one JSON argument; prints one JSON line: how it ended, and where.
import { createRequire } from "node:module";
import { createReadStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";

const told = JSON.parse(process.argv[2]);
const tus = createRequire(join(told.modules, "package.json"))("tus-js-client");

function source() {
  // Behind a PassThrough nobody knows how long it is; the library would ask a file for its size.
  return told.stream ? createReadStream(told.file).pipe(new PassThrough()) : readFileSync(told.file);
}

function upload(more, stopAt) {
  return new Promise((resolve, reject) => {
    const made = new tus.Upload(source(), {
      endpoint: told.endpoint,
      headers: { "X-API-Key": told.key },
      metadata: { filename: "film.mp4", filetype: "video/mp4" },
      retryDelays: [0, 500, 1000],
      ...told.options,
      ...more,
      onError: reject,
      onSuccess: () => resolve(made),
      onChunkComplete: async (size, accepted) => {
        if (stopAt !== undefined && accepted >= stopAt) {
          await made.abort();
          resolve(made);
        }
      },
    });
    made.start();
  });
}

try {
  let made = await upload({}, told.stopAt);
  const stopped = told.stopAt === undefined ? null : made.url;
  if (stopped !== null) made = await upload({ uploadUrl: stopped });
  if (told.terminate) await tus.Upload.terminate(made.url, { headers: { "X-API-Key": told.key } });
  console.log(JSON.stringify({ url: made.url, stopped }));
} catch (error) {
  const status = error.originalResponse ? error.originalResponse.getStatus() : null;
  console.log(JSON.stringify({ error: String(error.message), status }));
}
