// What the SDK scripts share.
export const png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

export const zodless = {
  lookup: { type: "object", properties: { key: { type: "string" } }, required: ["key"], additionalProperties: false },
  answer: { type: "object", properties: { value: { type: "string" } }, required: ["value"], additionalProperties: false },
};

// check runs one step and prints what came out wrong, or ok.
export async function check(name, run, want) {
  let got;
  try {
    got = String(await run());
  } catch (e) {
    got = `${e?.constructor?.name}: ${e?.message} ${e?.stack}`;
  }
  console.log(got === String(want) ? `ok ${name}` : `FAILED ${name}: got ${got} WANT ${want}`);
  if (got !== String(want)) process.exitCode = 1;
}

// abortable reads until run returns, and then gives up.
export async function abortable(run) {
  const c = new AbortController();
  await run(c.signal);
  c.abort();
  return "aborted";
}
