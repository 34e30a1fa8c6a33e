const units: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** "90s", "15m", "12h", "30d", "2w" in milliseconds; undefined where it is no such text. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text.trim())
  return match === null ? undefined : Number(match[1]) * units[match[2]!]!
}
