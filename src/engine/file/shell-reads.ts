/** A first line that hands the text to no shell. */
const otherInterpreter = /^#!(?!.*\b(?:ba|da|k|z)?sh\b)/
/** Other texts may set variables then, or this one is not expanded as a whole. */
const unclear = /(?:^|[\s;&|(])(?:\.|source|eval)\s|<<-?\s*['"\\]/
/** Text that the shell leaves as it is: escaped, in single quotes, a comment. */
const literal = /\\[\s\S]|"(?:\\[\s\S]|[^"\\])*"|'[^']*'|(?<=^|\s)#.*/gm
const read = /\$\{?[#!]?([A-Za-z_]\w*)/g
const bare = /(?<![\w$]|\$\{[#!]?)[A-Za-z_]\w*/g

/**
 * The variables that a shell's text takes from its environment, and where, as far as that is sure: a name that stands
 * anywhere without its `$` may be set there.
 */
export function shellReads(text: string): { name: string; index: number }[] {
  if (!text.includes('$') || otherInterpreter.test(text) || unclear.test(text)) return []
  const set = new Set([...text.matchAll(bare)].map(([name]) => name))
  const expanded = text.replace(literal, (part) =>
    part.startsWith('"') ? part.replace(/\\[\s\S]/g, '  ') : ' '.repeat(part.length),
  )
  return [...expanded.matchAll(read)].flatMap(({ 1: name, index }) =>
    set.has(name!) ? [] : { name: name!, index },
  )
}
