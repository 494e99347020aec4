// What two or more runs were made with: what is equal, and what differs. Pure functions of headers.

const SKIPPED = new Set(["prompt", "prompt_ids", "prefix_ids", "model", "device", "dtype"]); // asked for; what was used is below

/** A header as `{name: value}`, every setting, the model and the software, one level deep. */
export function flatten(header) {
  const { config, model, software, source } = header;
  const prompt = source?.length ? source : header.prompt;
  const flat = { model: model.name, device: model.device, dtype: model.dtype };
  flat.prompt = prompt.map(({ text }) => text).join("");
  flat["prompt tokens"] = prompt.map(({ token }) => token).join(" ");
  for (const [name, value] of Object.entries(config)) {
    if (SKIPPED.has(name)) continue;
    if (value !== null && typeof value === "object") {
      for (const [key, one] of Object.entries(value)) flat[words(key)] = one;
    } else flat[words(name)] = value;
  }
  for (const name of ["architecture", "num_parameters", "num_layers", "num_kv_heads", "head_dim", "vocab_size"]) flat[words(name)] = model[name];
  flat["KV bytes of a token, unquantised"] = model.kv_nbytes_per_token;
  for (const [name, version] of Object.entries(software)) flat[`${name} version`] = version;
  return flat;
}

/** `{equal: {name: value}, different: {name: [value of each]}}`. A setting that a run does not know is undefined. */
export function conditions(headers) {
  const flats = headers.map(flatten);
  const names = [...new Set(flats.flatMap((flat) => Object.keys(flat)))];
  const equal = {};
  const different = {};
  for (const name of names) {
    const values = flats.map((flat) => flat[name]);
    if (values.every((value) => JSON.stringify(value) === JSON.stringify(values[0]))) equal[name] = values[0];
    else different[name] = values;
  }
  if (different.prompt) delete different["prompt tokens"]; // said already
  return { equal, different };
}

/** A setting's value for people. */
export function showSetting(value) {
  if (value === null) return "none";
  if (value === undefined) return "not known to it";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return value.toLocaleString("en-US", { maximumFractionDigits: 6 });
  return value === "" ? "empty" : String(value);
}

function words(name) {
  return name.replaceAll("_", " ").replace(/^num /, "");
}
