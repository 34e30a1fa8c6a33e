/**
 * Returns the base64 of bytes within a longer text, in three ways, depending on how many bytes are before them.
 * Characters that other bytes share are left out, so up to four bits of the first and of the last byte stay visible. If
 * the bytes (and a newline, as `echo` adds one) end the text, its last characters are known too. Six bytes give at
 * least seven characters.
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

/**
 * Limit in bytes; longer values are searched only in plain hex: a dump of single bytes breaks its lines long before.
 */
const MAX_SEPARATED_BYTES = 1024
/** Bytes that Node displays of a longer buffer. */
const SHOWN_BYTES = 50
/** Bytes in each line of a dump. */
const DUMP_BYTES = 16

/**
 * Returns hex forms, plain or byte by byte, with small and with capital digits. Lists of decimal numbers are not
 * searched: for the tables of numbers that programs print, that would take four times as long.
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

/** Returns the forms in one line of a dump: `xxd` joins two bytes, `hexdump -C` leaves a wider gap after eight. */
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

/** Characters that encoders replace; encoders differ in what they leave unchanged, besides letters and digits. */
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

/**
 * Returns percent-encoded forms of different encoders, with capital and with small digits, a blank as `%20` and as `+`.
 */
export function urlForms(bytes: Buffer): string[] {
  const hex = bytes.toString('hex')
  const all = [hex.toUpperCase(), hex].map((digits) => digits.replace(/../g, '%$&'))
  // One character for each byte.
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

/** Characters that encoders write as `\uXXXX` besides those without a short form. */
const AS_CODE = [
  // JavaScript and most others; Python, and others that keep to ASCII
  /(?!)/,
  /[^\x00-\x7e]/,
  // Go; PHP and .NET, which protect HTML
  /[<>&\u2028\u2029]/,
  /[<>&'"]|[^\x00-\x7e]/,
  /[<>&'"+`]|[^\x00-\x7e]/,
]
/** Characters that are escaped; some encoders include the slash. */
const ESCAPED = [/["\\\x00-\x1f]|[^\x20-\x7e]|[<>&'+`]/g, /["\\\x00-\x1f]|[^\x20-\x7e]|[<>&'+`/]/g]

/**
 * Returns the forms inside a JSON string, of different encoders; and once more, inside JSON that is itself a string of
 * JSON.
 */
export function jsonForms(text: string): string[] {
  const once = AS_CODE.flatMap((asCode) =>
    ESCAPED.flatMap((escaped) => [
      text.replace(escaped, (unit) => escapedUnit(unit, asCode, (digits) => digits)),
      text.replace(escaped, (unit) => escapedUnit(unit, asCode, (digits) => digits.toUpperCase())),
    ]),
  )
  return [...once, ...[...new Set(once)].map((form) => form.replace(/["\\]/g, '\\$&'))]
}

/** Escapes a unit. Without the flag `u`, the patterns above match UTF-16 units, like JSON. */
function escapedUnit(unit: string, asCode: RegExp, digits: (code: string) => string): string {
  const short = SHORT[unit]
  if (asCode.test(unit) || (short === undefined && unit < ' '))
    return `\\u${digits(unit.charCodeAt(0).toString(16).padStart(4, '0'))}`
  return short ?? unit
}
