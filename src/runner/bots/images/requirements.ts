import { ErrandError } from '../../../contract/errors.ts'

const LINE_CHARACTERS = 1000

interface RequirementLine {
  text: string
  /** Place of the line, for errors. */
  place: string
}

/**
 * Returns the requirements of a list, without blank lines and comments. Throws `source_refused` for an entry with
 * several lines.
 */
export function requirementLines(list: readonly string[], file: string): RequirementLine[] {
  return list.flatMap((raw, index) => {
    const place = `Line ${index + 1} of ${file}`
    const text = raw
      .replace(/(?:^|\s)#.*$/, '')
      .replace(/\s+/g, ' ')
      .trim()
    const line = { text, place }
    if (/[^\P{Cc}\t]/u.test(raw) || /[\u2028\u2029]/.test(raw))
      throw refusedRequirement(
        line,
        'contains a line break or control character',
        'Write each requirement on its own line.',
      )
    if (text.length > LINE_CHARACTERS)
      throw refusedRequirement(line, `is longer than ${LINE_CHARACTERS} characters`, 'Shorten it.')
    return text === '' ? [] : [line]
  })
}

function refusedRequirement({ text, place }: RequirementLine, why: string, hint: string): ErrandError {
  return new ErrandError('source_refused', `${place} ${why}: ${JSON.stringify(text.slice(0, 200))}.`, {
    hint,
  })
}

const NAME_CHARACTERS = 214
const NPM_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~][a-z0-9._~-]*$/
/**
 * Each text can match in only one way; otherwise a list of a thousand characters would be tried in all combinations.
 */
const PART = '(?:\\d+|[xX*])'
const NPM_VERSION = `[v=]*${PART}(?:\\.${PART}(?:\\.${PART}(?:-[0-9A-Za-z.-]+)?(?:\\+[0-9A-Za-z.-]+)?)?)?`
const COMPARATOR = `(?:~>|[~^<>])?${NPM_VERSION}`
const SET = new RegExp(`^(?:${NPM_VERSION} - ${NPM_VERSION}|${COMPARATOR}(?: ${COMPARATOR})*)$`)
const NPM_TAG = /^[a-z][a-z0-9-]*$/

/** Parses packages of npm by name, with a range of versions or a tag. Throws `source_refused` with the line. */
export function nodeRequirements(lines: readonly RequirementLine[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.text.indexOf('@', 1)
      const name = (at < 0 ? line.text : line.text.slice(0, at)).trim()
      const range = at < 0 ? 'latest' : line.text.slice(at + 1).trim()
      if (!NPM_NAME.test(name) || name.length > NAME_CHARACTERS)
        throw refusedRequirement(line, `does not begin with the name of an npm package`, npmHint)
      if (!isRange(range) && !NPM_TAG.test(range))
        throw refusedRequirement(line, 'has no version range after the "@"', npmHint)
      return [name, range]
    }),
  )
}

/** Expects single blanks. */
const isRange = (text: string): boolean =>
  text
    .replace(/([~^<>=]) /g, '$1')
    .split('||')
    .every((set) => SET.test(set.trim()))

const npmHint =
  'Write a name with a version, such as telegraf@^4.16 or @grammyjs/menu@1. URLs, files and aliases are not supported.'

const PYTHON_NAME = '[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?'
const EXTRAS = `\\[\\s*(?:${PYTHON_NAME}(?:\\s*,\\s*${PYTHON_NAME})*)?\\s*\\]`
const PYTHON_VERSION = '(?:(?:~=|==|!=|<=|>=|<|>|===)\\s*[A-Za-z0-9_.*+!-]+)'
const PYTHON_VERSIONS = `${PYTHON_VERSION}(?:\\s*,\\s*${PYTHON_VERSION})*`
const REQUIREMENT = new RegExp(
  `^${PYTHON_NAME}\\s*(?:${EXTRAS})?\\s*(?:${PYTHON_VERSIONS}|\\(\\s*${PYTHON_VERSIONS}\\s*\\))?\\s*(?:;(?<marker>.*))?$`,
)
const MARKER_NAME =
  '(?:python_version|python_full_version|os_name|sys_platform|platform_release|platform_system|platform_version|platform_machine|platform_python_implementation|implementation_name|implementation_version|extra)'
const MARKER_TEXT = '(?:"[^"\'\\\\$]*"|\'[^"\'\\\\$]*\')'
const COMPARISON = new RegExp(
  `(?:${MARKER_NAME}|${MARKER_TEXT})\\s*(?:===|~=|==|!=|<=|>=|<|>|\\bnot\\s+in\\b|\\bin\\b)\\s*(?:${MARKER_NAME}|${MARKER_TEXT})`,
  'g',
)

/** Parses the lines of a requirements.txt, each according to PEP 508. Throws `source_refused` with the line. */
export function pythonRequirements(lines: readonly RequirementLine[]): string[] {
  return lines.map((line) => {
    const { text } = line
    const marker = REQUIREMENT.exec(text)
    if (marker !== null && (marker.groups?.marker === undefined || isMarker(marker.groups.marker)))
      return text
    throw refusedRequirement(line, why(text), pythonHint)
  })
}

const pythonHint =
  'Write a name with a version, such as aiogram>=3.0 or requests[socks]==2.32.*; python_version < "3.12".'

function why(text: string): string {
  if (text.startsWith('-')) return 'is an option, and options are not supported'
  if (/@|:\/\//.test(text.split(';')[0]!)) return 'is a URL, and only names are supported'
  if (text.includes(';') && REQUIREMENT.test(text)) return 'has a marker that is not valid in PEP 508'
  return 'is not a requirement of PEP 508'
}

/** Reports whether the text is a list of comparisons, joined by `and` and `or`, with optional parentheses. */
function isMarker(text: string): boolean {
  let rest = text.replace(COMPARISON, '1').replace(/\s+/g, ' ').trim()
  for (let before = ''; before !== rest; ) {
    before = rest
    rest = rest.replace(/\( ?1 ?\)/g, '1').replace(/\b1 (?:and|or) 1\b/g, '1')
  }
  return rest === '1'
}
