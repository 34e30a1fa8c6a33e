/** Bytes of text other than words; this many do not occur by chance. */
const MIN_STRANGE_BYTES = 8

/** Matches names whose value is a secret, whatever it looks like. */
const SECRET_NAME =
  /(?:pass|passwd|password|passphrase|pwd|secret|token|key|credentials?)["']?\s*[:=]\s*["']?[^\s"',]{4,}/i
const PASSWORD_IN_ADDRESS = /:\/\/[^/\s:@]*:[^/\s@]+@/
/** Matches `name: value`, `name = value`, `<name>`, a list item, a bracket: such lines are in many files. */
const STRUCTURE = /^[-\s]*["']?[\w.$-]+["']?\s*[:=]|^[-*]\s|^[[\]{}<(),;]|^[#/]/

/**
 * Returns the parts of a secret that prove that a text contains it, from its lines except those that are too short:
 * lines with something random, a password or a key, and each pair of consecutive lines of prose.
 */
export function revealingParts(lines: readonly string[]): string[] {
  const revealing = lines.filter(isRevealing)
  const pairs = lines
    .slice(1)
    .map((line, index) => [lines[index]!, line] as const)
    .filter((pair) => !pair.some((line) => STRUCTURE.test(line) || isRevealing(line)))
  return [...revealing, ...pairs.map((pair) => pair.join('\n'))]
}

function isRevealing(line: string): boolean {
  if (SECRET_NAME.test(line) || PASSWORD_IN_ADDRESS.test(line)) return true
  return line.split(/[\s"'`()[\]{}<>,;:=]+/).some((word) => strangeBytes(word) >= MIN_STRANGE_BYTES)
}

/** Returns how many bytes of a text are neither a word nor a number, such as `x509`, `apiVersion` or `2024`. */
function strangeBytes(text: string): number {
  const parts = text.split(/[^A-Za-z0-9]+/)
  return parts.reduce((sum, part) => sum + (isWord(part) ? 0 : part.length), 0)
}

function isWord(part: string): boolean {
  if (!/^(?:[A-Za-z]+\d{0,4}|\d{0,6})$/.test(part)) return false
  const humps = part.match(/[a-z][A-Z]/g)?.length ?? 0
  return part.length <= 24 && humps <= part.length / 4
}
