const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '/': '\\/',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}

/** What encoders write as `\uXXXX` beyond what has no short form. */
const AS_CODE = [
  // JavaScript and most others; Python, and others that keep to ASCII
  /(?!)/,
  /[^\x00-\x7e]/,
  // Go; PHP and .NET, which are careful of HTML
  /[<>&\u2028\u2029]/,
  /[<>&'"]|[^\x00-\x7e]/,
  /[<>&'"+`]|[^\x00-\x7e]/,
]
/** The slash is escaped by some. */
const ESCAPED = [/["\\\x00-\x1f]|[^\x20-\x7e]|[<>&'+`]/g, /["\\\x00-\x1f]|[^\x20-\x7e]|[<>&'+`/]/g]

/** As inside a JSON string, of different encoders; and once more, as inside JSON that is a string of JSON itself. */
export function jsonForms(text: string): string[] {
  const once = AS_CODE.flatMap((asCode) =>
    ESCAPED.flatMap((escaped) => [
      text.replace(escaped, (unit) => escapedUnit(unit, asCode, (digits) => digits)),
      text.replace(escaped, (unit) => escapedUnit(unit, asCode, (digits) => digits.toUpperCase())),
    ]),
  )
  return [...once, ...[...new Set(once)].map((form) => form.replace(/["\\]/g, '\\$&'))]
}

/** Without the flag `u`, the patterns above see UTF-16 units, as JSON does. */
function escapedUnit(unit: string, asCode: RegExp, digits: (code: string) => string): string {
  const short = SHORT[unit]
  if (asCode.test(unit) || (short === undefined && unit < ' '))
    return `\\u${digits(unit.charCodeAt(0).toString(16).padStart(4, '0'))}`
  return short ?? unit
}
