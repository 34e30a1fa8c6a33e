import { type RequirementLine, refusedRequirement } from './requirement-lines.ts'

const NAME = '[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?'
const EXTRAS = `\\[\\s*(?:${NAME}(?:\\s*,\\s*${NAME})*)?\\s*\\]`
const VERSION = '(?:(?:~=|==|!=|<=|>=|<|>|===)\\s*[A-Za-z0-9_.*+!-]+)'
const VERSIONS = `${VERSION}(?:\\s*,\\s*${VERSION})*`
const REQUIREMENT = new RegExp(
  `^${NAME}\\s*(?:${EXTRAS})?\\s*(?:${VERSIONS}|\\(\\s*${VERSIONS}\\s*\\))?\\s*(?:;(?<marker>.*))?$`,
)
const MARKER_NAME =
  '(?:python_version|python_full_version|os_name|sys_platform|platform_release|platform_system|platform_version|platform_machine|platform_python_implementation|implementation_name|implementation_version|extra)'
const MARKER_TEXT = '(?:"[^"\'\\\\$]*"|\'[^"\'\\\\$]*\')'
const COMPARISON = new RegExp(
  `(?:${MARKER_NAME}|${MARKER_TEXT})\\s*(?:===|~=|==|!=|<=|>=|<|>|\\bnot\\s+in\\b|\\bin\\b)\\s*(?:${MARKER_NAME}|${MARKER_TEXT})`,
  'g',
)

/** The lines of a requirements.txt, each by PEP 508. Throws `source_refused`, naming the line. */
export function pythonRequirements(lines: readonly RequirementLine[]): string[] {
  return lines.map((line) => {
    const { text } = line
    const marker = REQUIREMENT.exec(text)
    if (marker !== null && (marker.groups?.marker === undefined || isMarker(marker.groups.marker)))
      return text
    throw refusedRequirement(line, why(text), hint)
  })
}

const hint =
  'Write a name with versions, such as aiogram>=3.0 or requests[socks]==2.32.*; python_version < "3.12".'

function why(text: string): string {
  if (text.startsWith('-')) return 'is an option, and options are not taken'
  if (/@|:\/\//.test(text.split(';')[0]!)) return 'is an address, and only names are taken'
  if (text.includes(';') && REQUIREMENT.test(text)) return 'has a marker that is none of PEP 508'
  return 'is not a requirement of PEP 508'
}

/** Comparisons, joined by `and` and `or`, with parentheses around some. */
function isMarker(text: string): boolean {
  let rest = text.replace(COMPARISON, '1').replace(/\s+/g, ' ').trim()
  for (let before = ''; before !== rest; ) {
    before = rest
    rest = rest.replace(/\( ?1 ?\)/g, '1').replace(/\b1 (?:and|or) 1\b/g, '1')
  }
  return rest === '1'
}
