import { type RequirementLine, refusedRequirement } from './requirement-lines.ts'

const NAME_CHARACTERS = 214
const NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~][a-z0-9._~-]*$/
/** Each text fits in one way only: a list of a thousand characters that does not fit would else be tried in all of them. */
const PART = '(?:\\d+|[xX*])'
const VERSION = `[v=]*${PART}(?:\\.${PART}(?:\\.${PART}(?:-[0-9A-Za-z.-]+)?(?:\\+[0-9A-Za-z.-]+)?)?)?`
const COMPARATOR = `(?:~>|[~^<>])?${VERSION}`
const SET = new RegExp(`^(?:${VERSION} - ${VERSION}|${COMPARATOR}(?: ${COMPARATOR})*)$`)
const TAG = /^[a-z][a-z0-9-]*$/

/** Packages of npm by name, with a range of versions or a tag. Throws `source_refused`, naming the line. */
export function nodeRequirements(lines: readonly RequirementLine[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.text.indexOf('@', 1)
      const name = (at < 0 ? line.text : line.text.slice(0, at)).trim()
      const range = at < 0 ? 'latest' : line.text.slice(at + 1).trim()
      if (!NAME.test(name) || name.length > NAME_CHARACTERS)
        throw refusedRequirement(line, `does not begin with the name of a package of npm`, hint)
      if (!isRange(range) && !TAG.test(range))
        throw refusedRequirement(line, 'has no range of versions after the "@"', hint)
      return [name, range]
    }),
  )
}

/** Its blanks are single ones. */
const isRange = (text: string): boolean =>
  text
    .replace(/([~^<>=]) /g, '$1')
    .split('||')
    .every((set) => SET.test(set.trim()))

const hint =
  'Write a name with versions, such as telegraf@^4.16 or @grammyjs/menu@1; addresses, files and aliases are not taken.'
