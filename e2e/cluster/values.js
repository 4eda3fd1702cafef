// Values in commands. What JSON cannot say is marked: {"$bin":"base64"}, {"$date":"ISO"},
// {"$undefined":true}. {"$json":"text"} is what that text means, to the letter.

export const bin = (text) => ({ $bin: Buffer.from(text).toString("base64") });
export const date = (iso) => ({ $date: iso });
export const nothing = { $undefined: true };

/** The value that is meant. */
export function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (!value || typeof value !== "object") return value;
  if ("$bin" in value) return Buffer.from(value.$bin, "base64");
  if ("$date" in value) return new Date(value.$date);
  if ("$undefined" in value) return undefined;
  if ("$json" in value) return JSON.parse(value.$json);
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, revive(v)]));
}

/** What JSON makes of a value that is meant, binary aside: as clients get it. */
export function received(value) {
  if (Array.isArray(value)) return value.map((v) => received(v) ?? null);
  if (!value || typeof value !== "object") return value;
  if ("$bin" in value) return { hex: Buffer.from(value.$bin, "base64").toString("hex") };
  if ("$date" in value) return new Date(value.$date).toISOString();
  if ("$undefined" in value) return undefined;
  const entries = Object.entries(value).map(([key, v]) => [key, received(v)]);
  return Object.fromEntries(entries.filter(([, v]) => v !== undefined));
}
