/**
 * The base64 of bytes that stand in a longer text: three ways, by how many bytes are before them. A character
 * that other bytes have a part in is left out, so up to four bits of the first and of the last byte stay to
 * be seen; where the bytes (and a newline, as `echo` adds one) are the end of the text, its last characters
 * are known too. Six bytes give seven characters at least.
 */
export function base64Forms(bytes: Buffer): string[] {
  const forms: string[] = []
  for (const before of [0, 1, 2]) {
    const firstWhole = Math.ceil((before * 8) / 6)
    const wholeEnd = Math.floor(((before + bytes.length) * 8) / 6)
    for (const ending of ['', '\n']) {
      const text = Buffer.concat([Buffer.alloc(before), bytes, Buffer.from(ending)]).toString('base64')
      forms.push(
        text.slice(firstWhole, wholeEnd),
        text.slice(firstWhole).replace(/=+$/, ''),
        text.slice(firstWhole),
      )
    }
  }
  const forUrls = forms.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'))
  return [...forms, ...forUrls]
}

/** Longer values are looked for in plain hex alone: whatever dumps bytes one by one breaks its lines long before. */
const MAX_SEPARATED_BYTES = 1024
/** Of a longer buffer Node shows so many. */
const SHOWN_BYTES = 50
/** Bytes in each line of a dump. */
const DUMP_BYTES = 16

/**
 * As hex, plain or byte by byte, with small and with capital digits. As a list of decimal numbers it is not looked for:
 * the tables of numbers that programs print would take four times as long.
 */
export function hexForms(bytes: Buffer): string[] {
  const plain = bytes.toString('hex')
  if (bytes.length > MAX_SEPARATED_BYTES) return [plain, plain.toUpperCase()]
  const pairs = plain.match(/../g) ?? []
  const small = [plain, ...separated(pairs)]
  return [...small, ...small.map(capitalDigits), ...dumped(pairs)]
}

function separated(pairs: readonly string[]): string[] {
  const bare = [':', ' ', '-', ', '].map((separator) => pairs.join(separator))
  const prefixed = pairs.map((pair) => `0x${pair}`)
  const forms = [', ', ',', ' '].map((separator) => prefixed.join(separator))
  // Go's %#v has no leading zeros.
  forms.push(forms[0]!.replaceAll('0x0', '0x'), pairs.map((pair) => `\\x${pair}`).join(''))
  return [...bare, pairs.slice(0, SHOWN_BYTES).join(' '), ...forms]
}

/** In one line of a dump: `xxd` joins two bytes, `hexdump -C` leaves a wider gap after eight. */
function dumped(pairs: readonly string[]): string[] {
  if (pairs.length > DUMP_BYTES) return []
  const joined = [0, 1].map((odd) =>
    pairs.map((pair, at) => (at > 0 && at % 2 === odd ? ` ${pair}` : pair)).join(''),
  )
  const gaps = pairs.slice(1).map((_, at) => {
    const [before, after] = [pairs.slice(0, at + 1), pairs.slice(at + 1)]
    return `${before.join(' ')}  ${after.join(' ')}`
  })
  return [...joined, ...gaps]
}

const capitalDigits = (form: string): string => form.replace(/[a-f]/g, (digit) => digit.toUpperCase())

/**
 * Characters that encoders replace; encoders differ in what they leave as it is, besides letters and digits.
 */
const REPLACED = [
  // encodeURIComponent; encodeURI
  /[^A-Za-z0-9\-_.!~*'()]/g,
  /[^A-Za-z0-9\-_.!~*'();/?:@&=+$,#]/g,
  // RFC 3986; Python and others in a path
  /[^A-Za-z0-9\-_.~]/g,
  /[^A-Za-z0-9\-_.~/]/g,
  // HTML forms; older PHP
  /[^A-Za-z0-9\-_.*]/g,
  /[^A-Za-z0-9\-_.]/g,
  // WHATWG URL: user and password; path; query
  /[^\x21-\x7e]|["#<>?`{}/:;=@[\\\]^|]/g,
  /[^\x21-\x7e]|["#<>?`{}]/g,
  /[^\x21-\x7e]|["#<>']/g,
]

/** Percent-encoded by different encoders, with capital and with small digits, a blank as `%20` and as `+`. */
export function urlForms(bytes: Buffer): string[] {
  const hex = bytes.toString('hex')
  const all = [hex.toUpperCase(), hex].map((digits) => digits.replace(/../g, '%$&'))
  // A character for each byte.
  const text = bytes.toString('latin1')
  const some = REPLACED.flatMap((replaced) => {
    const small = text.replace(replaced, (character) => `%${code(character)}`)
    const capital = text.replace(replaced, (character) => `%${code(character).toUpperCase()}`)
    return [small, capital, small.replaceAll('%20', '+'), capital.replaceAll('%20', '+')]
  })
  return [...all, ...some]
}

const code = (character: string) => character.charCodeAt(0).toString(16).padStart(2, '0')

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

/** Characters that encoders write as `\uXXXX` beyond those that have no short form. */
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
